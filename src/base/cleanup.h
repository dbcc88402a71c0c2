/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owning locals that release what they own at the end of their scope. Hand-over goes only through
 * take_ptr() and take_fd(). Header only; any thread.
 */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *p)
{
    free(*(void **)p);
}

static inline void cleanup_close(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

static inline void cleanup_fclose(FILE **f)
{
    if (*f != NULL)
        (void)fclose(*f);
}

static inline void cleanup_closedir(DIR **d)
{
    if (*d != NULL)
        (void)closedir(*d);
}

static inline void cleanup_unlock(pthread_mutex_t **m)
{
    if (*m != NULL)
        (void)pthread_mutex_unlock(*m);
}

static inline pthread_mutex_t *cleanup_lock(pthread_mutex_t *m)
{
    (void)pthread_mutex_lock(m);
    return m;
}

static inline int cleanup_take_fd(int *fd)
{
    int v = *fd;
    *fd = -1;
    return v;
}

/* An owning pointer from malloc: auto_free char *p = NULL; */
#define auto_free __attribute__((cleanup(cleanup_free)))
/* An owning file descriptor: auto_close int fd = -1; */
#define auto_close __attribute__((cleanup(cleanup_close)))
/* An owning FILE: auto_fclose FILE *f = NULL; */
#define auto_fclose __attribute__((cleanup(cleanup_fclose)))
/* An owning DIR: auto_closedir DIR *d = NULL; */
#define auto_closedir __attribute__((cleanup(cleanup_closedir)))

/* Defines the cleanup function of struct pointer type T with T's free function F (F(NULL) allowed);
 * use it as: #define auto_x __attribute__((cleanup(cleanup_x_free))) */
#define DEFINE_CLEANUP(T, F)                                                                       \
    static inline void cleanup_##F(T *p)                                                           \
    {                                                                                              \
        F(*p);                                                                                     \
    }

/* Holds mutex M (a pthread_mutex_t *) to the end of the scope. */
#define lock_scope(M)     LOCK_SCOPE_(M, __COUNTER__)
#define LOCK_SCOPE_(M, N) LOCK_SCOPE2_(M, N)
#define LOCK_SCOPE2_(M, N)                                                                         \
    __attribute__((cleanup(cleanup_unlock), unused)) pthread_mutex_t *lock_scope_##N =             \
        cleanup_lock(M)

/* Gives up ownership: the value of owning pointer P, which becomes NULL. */
#define take_ptr(P)                                                                                \
    __extension__({                                                                                \
        __typeof__(P) take_ptr_ = (P);                                                             \
        (P) = NULL;                                                                                \
        take_ptr_;                                                                                 \
    })
/* Gives up ownership: the value of owning descriptor FD, which becomes -1. */
#define take_fd(FD) cleanup_take_fd(&(FD))

#endif
