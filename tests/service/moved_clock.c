/* Shows programs that are started with it another time of day: so many seconds ahead as a file says.

   What waits until a time of day is given the real one to wait for, as the kernel knows no other:
   with the clock of the whole machine set ahead, it would be past, too. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead;

__attribute__((constructor)) static void open_file(void)
{
    const char *path = getenv("MOVED_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *found = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (found != MAP_FAILED)
        ahead = found;
}

static int64_t seconds_ahead(void) { return ahead ? *ahead : 0; }

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);

int clock_gettime(clockid_t clock, struct timespec *now)
{
    REAL(clock_gettime)
    int failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += seconds_ahead();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    REAL(gettimeofday)
    int failed = real(now, zone);
    if (!failed && now)
        now->tv_sec += seconds_ahead();
    return failed;
}

time_t time(time_t *into)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into)
        *into = now.tv_sec;
    return now.tv_sec;
}

/* Waits for a steady clock count from the machine's start, those for a time of day from 1970. */
#define LONGEST_UPTIME 1000000000

static struct timespec in_real_time(const struct timespec *until)
{
    struct timespec real = *until;
    if (real.tv_sec < LONGEST_UPTIME)
        return real;
    real.tv_sec -= seconds_ahead();
    if (real.tv_sec < 0)
        real.tv_sec = 0;
    return real;
}

int pthread_cond_timedwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m,
                           const struct timespec *restrict until)
{
    static __typeof__(&pthread_cond_timedwait) real;
    if (!real) /* The first version of this name has another layout. */
        real = (__typeof__(real))dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real)
        real = (__typeof__(real))dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    struct timespec then = in_real_time(until);
    return real(c, m, &then);
}

int sem_timedwait(sem_t *restrict s, const struct timespec *restrict until)
{
    REAL(sem_timedwait)
    struct timespec then = in_real_time(until);
    return real(s, &then);
}

long syscall(long number, ...)
{
    REAL(syscall)
    va_list list;
    va_start(list, number);
    long a[6];
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    struct timespec then;
    if (number == SYS_futex && a[3] && (a[1] & FUTEX_CLOCK_REALTIME)
        && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET) {
        then = in_real_time((const struct timespec *)a[3]);
        a[3] = (long)&then;
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
