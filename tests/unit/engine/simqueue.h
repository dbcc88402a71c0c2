/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recalls on simulated drives: the decisions are those of engine/pick.h, as the engine's threads
 * take them; time, robot, drives and requests are numbers. Breaking an invariant ends the process
 * with a text that has the seed. One thread.
 */
#ifndef UNIT_ENGINE_SIMQUEUE_H
#define UNIT_ENGINE_SIMQUEUE_H

#include "engine/pick.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_BLOCK  524288u /* bytes of a record */
#define SIM_COPIES 2
#define SIM_NS     1000000000LL

struct sim_spec {
    uint64_t seed;     /* named when something is wrong */
    const char *media; /* of tape/order.h */
    uint64_t capacity; /* bytes of a cartridge; all of it is written */
    size_t drives, volumes, accounts;
    double max_age_s, window_s;
    double rewind_s; /* to put a cartridge away, besides unloading */
};

struct sim_request {
    int64_t arrive_ns;
    bool reader;
    size_t account; /* below accounts */
    size_t ncopies;
    struct {
        size_t volume;
        struct order_stop stop;
        bool bad; /* reading it fails */
    } copies[SIM_COPIES];
    /* what became of it */
    unsigned ends;
    bool failed;
    int64_t begun_ns, end_ns;
};

/* What a run came to. Seconds. */
struct sim_result {
    double seconds;        /* from the first arrival to the last end */
    double locate;         /* sum over all requests */
    double longest_reader; /* wait from arrival to the begin of the last read */
    double longest_job;
    double longest_service; /* of one request */
    double longest_step;    /* of PICK_ROUND requests of one stay, one after the other */
    size_t mounts, ended, failed, peak; /* peak: most that waited for one volume */
};

/* A volume that cannot be read from one time to another. */
struct sim_outage {
    size_t volume;
    int64_t from_ns, to_ns;
};

/* Runs all requests to their end. Fills r and the last members of the requests. */
void sim_run(const struct sim_spec *spec, struct sim_request *requests, size_t n,
             const struct sim_outage *outages, size_t noutages, struct sim_result *r);

/* The seconds from leaving one volume until another one can be read. */
double sim_mount_seconds(const struct sim_spec *spec);

/* The geometry of a cartridge of spec. */
struct order_geometry sim_geometry(const struct sim_spec *spec);

/* A number of the sequence that *state stands for. */
uint64_t sim_random(uint64_t *state);

#endif
