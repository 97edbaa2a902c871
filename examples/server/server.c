/* Serves sentence embeddings to local programs: server MODEL.bin SOCKET. A request is an int32, the number of tokens,
 * and as many int64, their ids; the answer is the float32 vector of the sentence. A connection is closed where a
 * request cannot be served, or none comes for a second. Eight threads serve a connection each; all run on one executor,
 * so that a lone request gets every core and eight at once get one each. Ends on SIGTERM and SIGINT. */
#include <infer.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { THREADS = 8, MOST_TOKENS = 512, VECTOR = 384 };

struct worker {
    int listener;
    infer_context *context;
    pthread_t thread;
    int64_t ids[MOST_TOKENS], mask[MOST_TOKENS], types[MOST_TOKENS];
    float vector[VECTOR];
};

static int receive(int peer, void *to, size_t bytes)
{
    return recv(peer, to, bytes, MSG_WAITALL) == (ssize_t)bytes;
}

/* The model's outputs are the vectors of all tokens, which nobody wants, and their mean. */
static int answer(struct worker *w, int peer)
{
    int32_t count;
    infer_error error;
    if (!receive(peer, &count, sizeof count) || count < 1 || count > MOST_TOKENS ||
        !receive(peer, w->ids, (size_t)count * sizeof *w->ids))
        return 0;
    const int64_t dims[2] = {1, count};
    const int64_t *given[3] = {w->ids, w->mask, w->types};
    infer_tensor inputs[3],
        outputs[2] = {infer_output(NULL, INFER_LEFT_OUT), infer_output(w->vector, sizeof w->vector)};
    for (int i = 0; i < 3; i++)
        inputs[i] = infer_input(given[i], INFER_INT64, 2, dims);
    if (infer_run(w->context, inputs, 3, outputs, 2, &error) == INFER_OK)
        return send(peer, w->vector, outputs[1].bytes, MSG_NOSIGNAL) == (ssize_t)outputs[1].bytes;
    fprintf(stderr, "server: %s\n", error.message);
    return 0;
}

static void *serve(void *user)
{
    struct worker *w = user;
    for (int i = 0; i < MOST_TOKENS; i++)
        w->mask[i] = 1;
    for (int peer; (peer = accept(w->listener, NULL, NULL)) >= 0; close(peer)) {
        const struct timeval patience = {.tv_sec = 1};
        setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        while (answer(w, peer)) {
        }
    }
    return NULL;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 64) == 0)
        return listener;
    perror(path);
    return -1;
}

int main(int argc, char **argv)
{
    static struct worker workers[THREADS];
    infer_model *model = NULL;
    infer_executor *executor = NULL;
    infer_session *session = NULL;
    infer_error error = {INFER_OK, ""};
    sigset_t stop;
    int signal_number, started = 0;
    if (argc != 3)
        return fprintf(stderr, "usage: server MODEL.bin SOCKET\n") < 0 ? 1 : 2;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    int good = infer_model_open(argv[1], NULL, &model, &error) == INFER_OK &&
               infer_executor_create(NULL, &executor, &error) == INFER_OK;
    infer_session_options options = {.executor = executor, .run_limits = {.seconds = 5}};
    good = good && infer_session_create(model, &options, &session, &error) == INFER_OK;
    for (int i = 0; i < THREADS && good; i++)
        good = infer_context_create(session, &workers[i].context, &error) == INFER_OK;
    int listener = good ? listen_at(argv[2]) : -1;
    for (; listener >= 0 && started < THREADS; started++) {
        workers[started].listener = listener;
        if (pthread_create(&workers[started].thread, NULL, serve, &workers[started]) != 0)
            break;
    }
    if (started > 0 && puts("ready") >= 0 && fflush(stdout) == 0)
        sigwait(&stop, &signal_number);
    shutdown(listener, SHUT_RDWR); /* ends every accept */
    for (int i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < THREADS; i++)
        infer_context_release(workers[i].context);
    infer_session_release(session);
    infer_executor_release(executor);
    infer_model_release(model);
    if (!good)
        fprintf(stderr, "server: %s\n", error.message);
    return started > 0 ? 0 : 1;
}
