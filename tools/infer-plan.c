/* infer-plan FILE.csv: the memory planner alone. */
#include "formats/file.h"
#include "graph/planner/planner.h"
#include "tools/common.h"
#include "tools/plan_svg.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char help[] =
    "Usage: infer-plan FILE.csv [options]\n"
    "Places buffers with known lifetimes in as little memory as possible.\n"
    "FILE has a header with the columns id, lower, upper and size, in any order ('-': stdin): a buffer of `size`\n"
    "bytes lives at times lower <= t < upper. A column `alignment` (a power of two) is optional; others are ignored.\n"
    "Prints id,lower,upper,size,offset on stdout; height, lower bound and whether the height is proven least on "
    "stderr.\n"
    "\n"
    "  --time SECONDS   bound of the search (default 10; 0: greedy only)\n"
    "  --svg FILE       draw the plan\n"
    "  --help, --version\n"
    "\n"
    "Example: infer-plan buffers.csv --svg plan.svg > offsets.csv\n"
    "Exit codes: 0 done, 1 the file could not be read or planned, 2 wrong usage.\n";

static const struct option options[] = {{"time", required_argument, NULL, 't'},
                                        {"svg", required_argument, NULL, 's'},
                                        {"help", no_argument, NULL, 'h'},
                                        {"version", no_argument, NULL, 'V'},
                                        {NULL, 0, NULL, 0}};

static const struct tool tool = {.name = "infer-plan", .help = help, .options = options, .short_options = ":hV"};

struct request {
    const char *from, *svg;
    double seconds;
};

static void parse(struct request *request, int argc, char **argv)
{
    *request = (struct request){.seconds = 10};
    for (int found; (found = tool_option(&tool, argc, argv)) != -1;) {
        char *end;
        if (found == 's')
            request->svg = optarg;
        if (found != 't')
            continue;
        request->seconds = strtod(optarg, &end);
        if (end == optarg || *end || !(request->seconds >= 0 && request->seconds <= 1e6))
            exit(tool_usage(&tool, "--time takes seconds from 0 to 1000000, not '%s'", optarg));
    }
    if (argc - optind != 1)
        exit(tool_usage(&tool, "one file name is needed, FILE.csv"));
    request->from = argv[optind];
    if (request->svg && strcmp(request->svg, "-") == 0)
        exit(tool_usage(&tool, "--svg needs a file's name: stdout holds the offsets"));
}

enum column { ID, LOWER, UPPER, SIZE, ALIGNED_TO, COLUMNS };
static const char *const column_names[COLUMNS] = {"id", "lower", "upper", "size", "alignment"};

struct table {
    struct region region;
    const char *path;
    size_t count;
    struct buffer *buffers;
    const char **ids;
    size_t *offsets;
    struct plan plan;
    size_t at[COLUMNS]; /* field number of each column; SIZE_MAX: absent */
};

/* Cuts the next line off, without its end (CR or LF or both). */
static char *next_line(char **text)
{
    char *line = *text, *end = line + strcspn(line, "\n");
    if (*line == '\0')
        return NULL;
    *text = *end ? end + 1 : end;
    *end = '\0';
    if (end > line && end[-1] == '\r')
        end[-1] = '\0';
    return line;
}

static char *next_field(char **line)
{
    char *field = *line, *end = field + strcspn(field, ",");
    *line = *end ? end + 1 : NULL;
    *end = '\0';
    while (*field == ' ' || *field == '\t')
        field++;
    while (end > field && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = '\0';
    return field;
}

static enum status read_header(struct table *table, char *line, struct error *error)
{
    for (int c = 0; c < COLUMNS; c++)
        table->at[c] = SIZE_MAX;
    for (size_t n = 0; line; n++) {
        const char *field = next_field(&line);
        for (int c = 0; c < COLUMNS; c++) {
            if (strcmp(field, column_names[c]) != 0)
                continue;
            if (table->at[c] != SIZE_MAX)
                return error_set(error, STATUS_INVALID_ARGUMENT, "line 1: column '%s' is there twice", field);
            table->at[c] = n;
        }
    }
    for (int c = 0; c < ALIGNED_TO; c++)
        if (table->at[c] == SIZE_MAX)
            return error_set(error, STATUS_INVALID_ARGUMENT,
                             "line 1: no column '%s' in the header (id,lower,upper,size is needed)", column_names[c]);
    return STATUS_OK;
}

static enum status read_row(struct table *table, size_t number, char *line, struct error *error)
{
    const char *fields[COLUMNS] = {0};
    for (size_t n = 0; line; n++) {
        const char *field = next_field(&line);
        for (int c = 0; c < COLUMNS; c++)
            if (table->at[c] == n)
                fields[c] = field;
    }
    int64_t values[COLUMNS] = {[ALIGNED_TO] = 1};
    for (int c = 0; c < COLUMNS; c++) {
        if (table->at[c] == SIZE_MAX)
            continue;
        if (!fields[c])
            return error_set(error, STATUS_INVALID_ARGUMENT, "line %zu: no value for column '%s'", number,
                             column_names[c]);
        int64_t least = c == SIZE ? 0 : c == ALIGNED_TO ? 1 : INT64_MIN;
        if (c != ID && !parse_integer(fields[c], least, INT64_MAX, &values[c]))
            return error_set(error, STATUS_INVALID_ARGUMENT, "line %zu: %s '%.40s' is not a whole number%s", number,
                             column_names[c], fields[c], least == INT64_MIN ? "" : " in range");
    }
    table->ids[table->count] = fields[ID];
    table->buffers[table->count++] =
        (struct buffer){values[LOWER], values[UPPER], (size_t)values[SIZE], (size_t)values[ALIGNED_TO], PLANNER_FREE};
    return STATUS_OK;
}

static enum status read_table(struct table *table, char *text, struct error *error)
{
    size_t lines = 1, number = 1;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    table->buffers = region_array(&table->region, lines, sizeof *table->buffers);
    table->ids = region_array(&table->region, lines, sizeof *table->ids);
    table->offsets = region_array(&table->region, lines, sizeof *table->offsets);
    if (!table->buffers || !table->ids || !table->offsets)
        return error_set(error, STATUS_OUT_OF_MEMORY, "no memory for %zu lines", lines);
    char *line = next_line(&text);
    enum status status = read_header(table, line ? line : text, error);
    while (status == STATUS_OK && (line = next_line(&text)) != NULL) {
        number++;
        if (*line)
            status = read_row(table, number, line, error);
    }
    return status;
}

static enum status read_file(struct table *table, struct error *error)
{
    struct file_map map = {0};
    enum status status = file_map_path(&map, table->path, SIZE_MAX, &default_allocator, error);
    if (status)
        return status;
    if (memchr(map.bytes, '\0', map.size))
        status = error_set(error, STATUS_INVALID_ARGUMENT, "holds a zero byte: not a CSV file");
    char *text = status ? NULL : region_text(&table->region, map.bytes, map.size);
    if (!status && !text)
        status = error_set(error, STATUS_OUT_OF_MEMORY, "no memory for %zu bytes", map.size);
    file_unmap(&map);
    if (status == STATUS_OK)
        status = read_table(table, text, error);
    return status ? error_prefix(error, "%s", table->path) : STATUS_OK;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* The planner counts nodes, so time is kept by giving it more and more of them, as many as the last run's speed says
 * will fit. */
static enum status search_for(struct table *table, double seconds, struct error *error)
{
    double start = now(), before = start;
    uint64_t nodes = 0;
    for (;;) {
        enum status status =
            plan_memory(&default_allocator, table->count, table->buffers, nodes, table->offsets, &table->plan, error);
        if (status)
            return error_prefix(error, "%s", table->path);
        double after = now(), spent = after - before, left = start + seconds - after;
        double fitting = nodes ? (double)nodes * left / spent * 0.9 : left > 0 ? 100000 : 0;
        if (table->plan.optimal || fitting < (nodes ? (double)nodes : 1))
            return STATUS_OK;
        before = after;
        /* Four times as many, or all the time that is left if one more such step would not fit. */
        double next = nodes ? 4 * (double)nodes : fitting;
        nodes = (uint64_t)(fitting < 5 * next / 2 ? fitting : next);
    }
}

static enum status write_svg(struct table *table, const char *path, struct error *error)
{
    struct drawn_buffer *drawn = region_array(&table->region, table->count, sizeof *drawn);
    if (!drawn)
        return error_set(error, STATUS_OUT_OF_MEMORY, "%s: no memory to draw %zu buffers", path, table->count);
    for (size_t i = 0; i < table->count; i++)
        drawn[i] = (struct drawn_buffer){.lower = table->buffers[i].lower,
                                         .upper = table->buffers[i].upper,
                                         .offset = table->offsets[i],
                                         .bytes = table->buffers[i].bytes,
                                         .name = table->ids[i]};
    struct drawn_plan plan = {.title = table->path,
                              .count = table->count,
                              .buffers = drawn,
                              .height = table->plan.height,
                              .lower_bound = table->plan.lower_bound};
    return plan_svg_write(path, &plan, error);
}

static enum status print_table(const struct table *table, struct error *error)
{
    puts("id,lower,upper,size,offset");
    for (size_t i = 0; i < table->count; i++) {
        const struct buffer *buffer = &table->buffers[i];
        printf("%s,%" PRId64 ",%" PRId64 ",%zu,%zu\n", table->ids[i], buffer->lower, buffer->upper, buffer->bytes,
               table->offsets[i]);
    }
    if (fflush(stdout) != 0 || ferror(stdout))
        return error_set(error, STATUS_IO, "standard output: %s", strerror(errno));
    fprintf(stderr, "height %zu, lower bound %zu, %s\n", table->plan.height, table->plan.lower_bound,
            table->plan.optimal ? "proven optimal" : "not proven optimal");
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    struct request request;
    parse(&request, argc, argv);
    struct table table = {.path = request.from};
    struct error error = {0};
    region_init(&table.region, &default_allocator);
    enum status status = read_file(&table, &error);
    if (status == STATUS_OK)
        status = search_for(&table, request.seconds, &error);
    if (status == STATUS_OK && request.svg)
        status = write_svg(&table, request.svg, &error);
    if (status == STATUS_OK)
        status = print_table(&table, &error);
    region_free(&table.region);
    return status ? tool_failed(&tool, "%s", error.text) : EXIT_DONE;
}
