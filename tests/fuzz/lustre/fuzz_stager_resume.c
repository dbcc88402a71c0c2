/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resume files: whatever stands in them, a run can be gone on with by what is believed, and its
 * sums agree.
 */
#include "lustre/stager_resume.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stager_resume *r = NULL;
    struct stager_resumed found;
    struct err err = {0};
    char *text = malloc(size + 1);
    assert(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    if (stager_resume_parse(text, size, NULL, &r, &found, &err) == 0) {
        uint64_t sum = 0;
        for (int i = 0; i < STAGER_RESULTS; i++)
            sum += found.results[i];
        assert(sum == found.ended);
        for (uint64_t i = 0; i < 16; i++) {
            bool sent = false;
            bool wanted = stager_resume_take(r, found.ordinal + i, i, i + 1, &sent);
            assert(wanted || !sent || i > 0);
            if (wanted)
                stager_resume_ended(r, found.ordinal + i, STAGER_DONE, 1);
        }
        stager_resume_close(r, false);
    } else {
        assert(err.text[0] != '\0');
    }
    free(text);
    return 0;
}
