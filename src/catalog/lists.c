/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of lists: one array, and one arena for the strings of all rows. */
#include "base/mem.h"
#include "catalog/catalog_impl.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CHUNK = 1024, MAX_CHUNK = 256 * 1024 };

struct catalog_mem {
    struct catalog_mem *next;
    size_t used, size;
    _Alignas(8) char data[];
};

void catalog_mem_free(struct catalog_mem *m)
{
    while (m != NULL) {
        struct catalog_mem *next = m->next;
        free(m);
        m = next;
    }
}

void *catalog_mem_alloc(struct catalog_mem **m, size_t n)
{
    n = (n + 7) & ~(size_t)7;
    struct catalog_mem *c = *m;
    if (c == NULL || c->size - c->used < n) {
        size_t size = c == NULL ? FIRST_CHUNK : c->size * 2;
        if (size > MAX_CHUNK)
            size = MAX_CHUNK;
        if (size < n)
            size = n;
        c = xzalloc(sizeof(*c) + size);
        c->size = size;
        c->next = *m;
        *m = c;
    }
    void *p = c->data + c->used;
    c->used += n;
    return p;
}

const char *catalog_mem_str(struct catalog_mem **m, const char *s)
{
    if (s == NULL || *s == '\0')
        return "";
    size_t n = strlen(s) + 1;
    return memcpy(catalog_mem_alloc(m, n), s, n);
}

void catalog_attrs_fini(struct catalog_attrs *l)
{
    free(l->v);
    catalog_mem_free(l->mem);
    *l = (struct catalog_attrs){0};
}

void catalog_pools_fini(struct catalog_pools *l)
{
    free(l->v);
    *l = (struct catalog_pools){0};
}

void catalog_volumes_fini(struct catalog_volumes *l)
{
    free(l->v);
    *l = (struct catalog_volumes){0};
}

void catalog_drives_fini(struct catalog_drives *l)
{
    free(l->v);
    *l = (struct catalog_drives){0};
}

void catalog_archives_fini(struct catalog_archives *l)
{
    free(l->v);
    catalog_mem_free(l->mem);
    *l = (struct catalog_archives){0};
}

void catalog_copies_fini(struct catalog_copies *l)
{
    free(l->v);
    catalog_mem_free(l->mem);
    *l = (struct catalog_copies){0};
}

void catalog_tasks_fini(struct catalog_tasks *l)
{
    free(l->v);
    catalog_mem_free(l->mem);
    *l = (struct catalog_tasks){0};
}

void catalog_jobs_fini(struct catalog_jobs *l)
{
    free(l->v);
    catalog_mem_free(l->mem);
    *l = (struct catalog_jobs){0};
}

void catalog_job_counts_fini(struct catalog_job_counts *l)
{
    free(l->v);
    *l = (struct catalog_job_counts){0};
}

void catalog_accounts_fini(struct catalog_accounts *l)
{
    free(l->v);
    *l = (struct catalog_accounts){0};
}

void catalog_buckets_fini(struct catalog_buckets *l)
{
    free(l->v);
    *l = (struct catalog_buckets){0};
}

void catalog_schedules_fini(struct catalog_schedules *l)
{
    free(l->v);
    catalog_mem_free(l->mem);
    *l = (struct catalog_schedules){0};
}
