/* SPDX-License-Identifier: Apache-2.0 */
/* What the state of a file means for an action; names of states, actions and results. */
#include "lustre/stager.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* One reason why an action cannot be: when the bits of mask are value. */
struct refusal {
    enum stager_action action;
    uint32_t mask, value;
    int errnum;
    const char *reason;
};

/* In the order in which they are looked at; the first that fits is told. */
static const struct refusal refusals[] = {
    {STAGER_ARCHIVE, HS_RELEASED | HS_LOST, HS_RELEASED | HS_LOST, ENODATA,
     "its data are lost: the file is released and its copy is marked lost"},
    {STAGER_ARCHIVE, HS_NOARCHIVE, HS_NOARCHIVE, EPERM,
     "it is marked noarchive; clear that with \"lfs hsm_clear --noarchive\""},
    {STAGER_RESTORE, HS_LOST, HS_LOST, ENODATA,
     "its copy is marked lost; if the store has it after all, clear that with \"lfs hsm_clear "
     "--lost\""},
    {STAGER_RESTORE, HS_ARCHIVED, 0, ENODATA, "it is released and has no copy: its data are lost"},
    {STAGER_RELEASE, HS_LOST, HS_LOST, EPERM,
     "its copy is marked lost; archive it again with \"firn lustre archive\""},
    {STAGER_RELEASE, HS_ARCHIVED, 0, EPERM,
     "it is not archived; archive it first with \"firn lustre archive\""},
    {STAGER_RELEASE, HS_DIRTY, HS_DIRTY, EPERM,
     "it was written to since it was archived; archive it again with \"firn lustre archive\""},
    {STAGER_RELEASE, HS_NORELEASE, HS_NORELEASE, EPERM,
     "it is marked norelease; clear that with \"lfs hsm_clear --norelease\""},
    {STAGER_REMOVE, HS_RELEASED, HS_RELEASED, EPERM,
     "it is released, so its copy is all there is; restore it first with \"firn lustre restore\""},
};

static bool reached(enum stager_action action, uint32_t states)
{
    switch (action) {
    case STAGER_ARCHIVE:
        return (states & (HS_ARCHIVED | HS_DIRTY | HS_LOST)) == HS_ARCHIVED;
    case STAGER_RESTORE:
        return (states & HS_RELEASED) == 0;
    case STAGER_RELEASE:
        return (states & HS_RELEASED) != 0;
    case STAGER_REMOVE:
        return (states & (HS_ARCHIVED | HS_EXISTS)) == 0;
    case STAGER_CANCEL:
        break;
    }
    return false;
}

enum stager_verdict stager_judge(enum stager_action action, const struct stager_hint *hint,
                                 uint32_t states, uint32_t archive_id, int *errnum,
                                 const char **reason)
{
    if (reached(action, states))
        return STAGER_REACHED;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal *r = &refusals[i];
        if (r->action != action || (states & r->mask) != r->value)
            continue;
        *errnum = r->errnum;
        *reason = r->reason;
        return STAGER_REFUSED;
    }
    if (action == STAGER_ARCHIVE && (states & HS_EXISTS) != 0 && hint->archive_id != 0 &&
        archive_id != 0 && archive_id != hint->archive_id) {
        *errnum = EPERM;
        *reason = "it has a copy in another archive; remove that first with \"firn lustre remove\"";
        return STAGER_REFUSED;
    }
    return STAGER_NEEDED;
}

size_t stager_batch_max(size_t data_len)
{
    size_t fixed = sizeof(struct hsm_user_request) + data_len;
    return fixed + sizeof(struct hsm_user_item) > HSM_REQUEST_MAX
               ? 0
               : (HSM_REQUEST_MAX - fixed) / sizeof(struct hsm_user_item);
}

int stager_data_check(const char *data, struct err *err)
{
    if (strlen(data) > STAGER_DATA_MAX)
        return err_set(err, -EINVAL, "request data are longer than %d bytes", STAGER_DATA_MAX);
    for (const char *p = data;; p++) {
        size_t n = strcspn(p, ",");
        const char *equals = memchr(p, '=', n);
        if (equals == NULL || equals == p)
            return err_set(err, -EINVAL,
                           "request data \"%.*s\" are not KEY=VALUE (several are joined by commas)",
                           (int)n, p);
        p += n;
        if (*p == '\0')
            return 0;
    }
}

const char *stager_action_name(enum stager_action action)
{
    static const char *const names[] = {"archive", "restore", "release", "remove", "cancel"};
    return names[action];
}

const char *stager_result_name(enum stager_result result)
{
    static const char *const names[] = {"done", "already", "queued", "planned", "failed"};
    return names[result];
}

const char *stager_state_words(uint32_t states, char *out)
{
    /* in the order of lfs hsm_state */
    static const struct {
        uint32_t bit;
        const char *word;
    } words[] = {
        {HS_RELEASED, "released"},
        {HS_EXISTS, "exists"},
        {HS_DIRTY, "dirty"},
        {HS_ARCHIVED, "archived"},
        {HS_NORELEASE, "never_release"},
        {HS_NOARCHIVE, "never_archive"},
        {HS_LOST, "lost_from_hsm"},
        {HS_PCCRW, "pccrw"},
        {HS_PCCRO, "pccro"},
    };
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if ((states & words[i].bit) != 0)
            at += (size_t)snprintf(out + at, 128 - at, "%s%s", at > 0 ? " " : "", words[i].word);
    return out;
}
