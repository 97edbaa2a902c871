/* Hears speech in recordings: voice MODEL.bin RECORDING.wav... prints, for each 32 ms of each of them, the probability
 * that somebody speaks, and then from when to when. Recordings are WAV of 16 bits, mono, of 16 or 8 kHz. The model is
 * Silero's voice detector: it takes the samples behind the last of the chunk before, a state and the rate, and gives
 * the probability and the next state. Each recording is a stream, whose state the predictor keeps; streams run side by
 * side. */
#include <infer_predictor.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Indices of the model's inputs and outputs. */
enum { SAMPLES, STATE, RATE, INPUTS };
enum { PROBABILITY, NEXT_STATE, OUTPUTS };

struct recording {
    const char *path;
    int64_t rate;
    int chunk, context; /* samples that are new in each request, and those before them */
    size_t chunks;
    float *samples; /* silence as long as the context, and then the recording */
    float *speech;  /* a probability for each chunk */
    infer_prediction **predictions;
};

static uint32_t number(const unsigned char *bytes, int count)
{
    uint32_t value = 0;
    while (count-- > 0)
        value = value << 8 | bytes[count];
    return value;
}

/* Reads up to the samples. Their bytes; 0: it is no such file. */
static uint32_t read_head(FILE *file, struct recording *r)
{
    unsigned char head[12], format[16];
    int known = 0;
    if (fread(head, 12, 1, file) != 1 || memcmp(head, "RIFF", 4) != 0 || memcmp(head + 8, "WAVE", 4) != 0)
        return 0;
    while (fread(head, 8, 1, file) == 1) {
        uint32_t bytes = number(head + 4, 4);
        if (memcmp(head, "data", 4) == 0)
            return known ? bytes : 0;
        long rest = (long)bytes + (bytes & 1);
        if (memcmp(head, "fmt ", 4) == 0 && bytes >= sizeof format && fread(format, sizeof format, 1, file) == 1) {
            rest -= (long)sizeof format;
            r->rate = number(format + 4, 4);
            known = number(format, 2) == 1 && number(format + 2, 2) == 1 && number(format + 14, 2) == 16 &&
                    (r->rate == 16000 || r->rate == 8000);
        }
        if (fseek(file, rest, SEEK_CUR) != 0)
            return 0;
    }
    return 0;
}

static int read_recording(const char *path, struct recording *r)
{
    unsigned char sample[2];
    FILE *file = fopen(path, "rb");
    uint32_t bytes = file ? read_head(file, r) : 0;
    r->path = path;
    r->chunk = r->rate == 16000 ? 512 : 256;
    r->context = r->chunk / 8;
    r->chunks = bytes / 2 / (size_t)r->chunk;
    if (r->chunks > 0) {
        r->samples = calloc((size_t)r->context + r->chunks * (size_t)r->chunk, sizeof *r->samples);
        r->speech = calloc(r->chunks, sizeof *r->speech);
        r->predictions = calloc(r->chunks, sizeof *r->predictions);
    }
    int good = r->samples && r->speech && r->predictions;
    for (size_t i = 0; good && i < r->chunks * (size_t)r->chunk; i++) {
        good = fread(sample, sizeof sample, 1, file) == 1;
        r->samples[(size_t)r->context + i] = (float)(int16_t)number(sample, 2) / 32768;
    }
    if (file)
        fclose(file);
    if (!good)
        fprintf(stderr, "voice: %s is no WAV of 16 bits, mono, of 16 or 8 kHz, with a chunk or more\n", path);
    return good;
}

/* Asks for a chunk and does not wait: the predictor runs those of a stream one after another. */
static infer_status ask(infer_predictor *predictor, struct recording *r, size_t chunk, uint64_t stream,
                        infer_error *error)
{
    /* The context before the chunk is where it lies: nothing is copied. The state is left out: it is the stream's. */
    float *from = r->samples + chunk * (size_t)r->chunk;
    infer_tensor inputs[INPUTS] = {
        [SAMPLES] = infer_input(from, INFER_FLOAT32, 2, (const int64_t[]){1, r->context + r->chunk}),
        [RATE] = infer_input(&r->rate, INFER_INT64, 0, NULL),
    };
    infer_request_options options = {.stream = stream};
    return infer_predict_async(predictor, inputs, INPUTS, NULL, 0, &options, &r->predictions[chunk], error);
}

static infer_status hear(struct recording *r, size_t chunk, infer_error *error)
{
    infer_prediction *prediction = r->predictions[chunk];
    infer_prediction_wait(prediction, -1);
    infer_status status = infer_prediction_status(prediction, error);
    if (status == INFER_OK)
        r->speech[chunk] = *(const float *)infer_prediction_result(prediction, PROBABILITY)->data;
    infer_prediction_release(prediction);
    r->predictions[chunk] = NULL;
    return status;
}

static void print_speech(const struct recording *r)
{
    const double seconds = (double)r->chunk / (double)r->rate;
    size_t began = 0;
    for (size_t i = 0; i < r->chunks; i++)
        printf("%s %.3f %.6f\n", r->path, (double)i * seconds, (double)r->speech[i]);
    for (size_t i = 0; i <= r->chunks; i++) {
        int before = i > 0 && r->speech[i - 1] > 0.5f, now = i < r->chunks && r->speech[i] > 0.5f;
        if (now && !before)
            began = i;
        if (before && !now)
            printf("%s speech from %.3f to %.3f\n", r->path, (double)began * seconds, (double)i * seconds);
    }
}

int main(int argc, char **argv)
{
    static const infer_state states[] = {{.output = NEXT_STATE, .input = STATE}};
    int count = argc - 2;
    size_t longest = 0;
    infer_predictor *predictor = NULL;
    infer_error error = {INFER_OK, ""};
    if (count < 1)
        return fprintf(stderr, "usage: voice MODEL.bin RECORDING.wav...\n") < 0 ? 1 : 2;
    /* A chunk is too little work to share out between threads: several streams run at once instead. */
    infer_predictor_options options = {.path = argv[1],
                                       .session_options = {.threads = 1},
                                       .contexts = 2,
                                       .when_full = INFER_FULL_BLOCK,
                                       .states = states,
                                       .state_count = 1};
    infer_status status = infer_predictor_create(&options, &predictor, &error);
    struct recording *recordings = calloc((size_t)count, sizeof *recordings);
    int good = status == INFER_OK && recordings;
    for (int i = 0; i < count && good; i++) {
        good = read_recording(argv[2 + i], &recordings[i]);
        longest = recordings[i].chunks > longest ? recordings[i].chunks : longest;
    }
    enum { AHEAD = 16 }; /* chunks that are asked for before the first of them is heard */
    for (size_t chunk = 0; chunk < longest + AHEAD && good && status == INFER_OK; chunk++)
        for (int i = 0; i < count && status == INFER_OK; i++) {
            struct recording *r = &recordings[i];
            if (chunk >= AHEAD && chunk - AHEAD < r->chunks)
                status = hear(r, chunk - AHEAD, &error);
            if (chunk < r->chunks && status == INFER_OK)
                status = ask(predictor, r, chunk, (uint64_t)i + 1, &error);
        }
    for (int i = 0; i < count && good && status == INFER_OK; i++)
        print_speech(&recordings[i]);
    if (status != INFER_OK)
        fprintf(stderr, "voice: %s\n", error.message);
    infer_predictor_release(predictor); /* ends what is still under way */
    for (int i = 0; i < count && recordings; i++) {
        for (size_t k = 0; recordings[i].predictions && k < recordings[i].chunks; k++)
            infer_prediction_release(recordings[i].predictions[k]);
        free(recordings[i].samples), free(recordings[i].speech), free(recordings[i].predictions);
    }
    free(recordings);
    return good && status == INFER_OK ? 0 : 1;
}
