/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Preloaded into QEMU: makes threads late at places where a busy host would, for microseconds named in the environment.
 *
 *   CONZONE_LATE_JUMP     the vCPU thread, when the guest leaves its code, e.g. by HLT
 *   CONZONE_LATE_LOCK     the vCPU thread, before it takes a lock
 *   CONZONE_LATE_UNLOCK   the vCPU thread, after it has released one
 *   CONZONE_LATE_WAKE     a vCPU thread, before it wakes up others
 *   CONZONE_LATE_SWITCH   the main thread, when it leaves or enters a coroutine
 *
 * If CONZONE_LATE_AFTER names a file, they are late only once it is there.
 * At the end, how often that was goes into the file CONZONE_LATE_TOLD: a test whose QEMU does not call these
 * functions any more must not pass.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* This thread executes the guest: only the main thread has other uses for jumps. */
static _Thread_local int executes;

static unsigned long rests;

static int in_main_thread(void)
{
    return syscall(SYS_gettid) == getpid();
}

static void rest(const char *variable)
{
    const char *text = getenv(variable);
    const char *after = getenv("CONZONE_LATE_AFTER");
    struct timespec time = { 0, text ? atol(text) * 1000 : 0 };

    if (text && (!after || access(after, F_OK) == 0)) {
        __atomic_fetch_add(&rests, 1, __ATOMIC_RELAXED);
        nanosleep(&time, NULL);
    }
}

static void *next(const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    if (!symbol) {
        abort();
    }
    return symbol;
}

static void jump(const char *name, struct __jmp_buf_tag *env, int value)
{
    void (*real)(struct __jmp_buf_tag *, int) = next(name);

    if (in_main_thread()) {
        rest("CONZONE_LATE_SWITCH");
    } else {
        executes = 1;
        rest("CONZONE_LATE_JUMP");
    }
    real(env, value);
    abort();
}

/* What a program calls depends on how it was compiled. */
void siglongjmp(sigjmp_buf env, int value)
{
    jump("siglongjmp", env, value);
    __builtin_unreachable();
}

void __longjmp_chk(struct __jmp_buf_tag *env, int value)
{
    jump("__longjmp_chk", env, value);
    __builtin_unreachable();
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    static int (*real)(pthread_mutex_t *);

    if (!real) {
        real = next("pthread_mutex_lock");
    }
    if (executes) {
        rest("CONZONE_LATE_LOCK");
    }
    return real(mutex);
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    static int (*real)(pthread_mutex_t *);
    int result;

    if (!real) {
        real = next("pthread_mutex_unlock");
    }
    result = real(mutex);
    if (executes) {
        rest("CONZONE_LATE_UNLOCK");
    }
    return result;
}

int pthread_cond_broadcast(pthread_cond_t *condition)
{
    static int (*real)(pthread_cond_t *);

    if (!real) {
        real = next("pthread_cond_broadcast");
    }
    if (executes) {
        rest("CONZONE_LATE_WAKE");
    }
    return real(condition);
}

static void __attribute__((destructor)) tell(void)
{
    const char *path = getenv("CONZONE_LATE_TOLD");
    FILE *file = path ? fopen(path, "w") : NULL;

    if (file) {
        fprintf(file, "%lu", __atomic_load_n(&rests, __ATOMIC_RELAXED));
        fclose(file);
    }
}
