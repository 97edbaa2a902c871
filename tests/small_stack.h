/* A thread with as much stack as infer.h asks for, beside what the process keeps in each thread for its own variables.
 */
#ifndef INFER_TESTS_SMALL_STACK_H
#define INFER_TESTS_SMALL_STACK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* Sanitizers need some to start a thread, and keep guards between variables. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define LEAST_STACK ((size_t)1 << 20)
#define SMALL_STACK ((size_t)1 << 20)
#else
#define LEAST_STACK ((size_t)16 * 1024)
#define SMALL_STACK ((size_t)64 * 1024)
#endif

static inline void *small_stack_nothing(void *user)
{
    return user;
}

static inline bool small_stack_start(pthread_t *thread, size_t bytes, void *(*work)(void *), void *user)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, bytes);
    int code = pthread_create(thread, &attributes, work, user);
    pthread_attr_destroy(&attributes);
    return code == 0;
}

/* Runs work(user) there, and gives back what it returns; `user` where no thread could be made. */
static inline void *small_stack_run(void *(*work)(void *), void *user)
{
    pthread_t thread;
    void *result = user;
    size_t least = LEAST_STACK, most = (size_t)4 << 20;
    while (least < most && !small_stack_start(&thread, least, small_stack_nothing, NULL))
        least += 4096;
    if (least < most)
        pthread_join(thread, NULL);
    if (small_stack_start(&thread, least + SMALL_STACK, work, user))
        pthread_join(thread, &result);
    return result;
}

#endif
