/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct engine_saved {
    struct engine_world world;
};

static void shell(struct engine_world *w, const char *line)
{
    if (system(line) != 0) /* NOLINT(cert-env33-c,concurrency-mt-unsafe): paths of our own, and one thread */
        engine_wrong(w, "%s", line);
}

void engine_again_lose_state(struct engine_world *w)
{
    char line[3 * ENGINE_PATH_SIZE];

    (void)snprintf(line, sizeof line, "rm -rf %s-weir", w->db);
    shell(w, line);
    w->lost_state = true;
}

struct engine_saved *engine_again_save(struct engine_world *w)
{
    struct engine_saved *saved = malloc(sizeof *saved);
    char line[3 * ENGINE_PATH_SIZE];

    if (saved == NULL)
        abort();
    engine_app_close(w);
    memcpy(&saved->world, w, sizeof *w);
    (void)snprintf(line, sizeof line, "cp -a %s %s.saved", w->live, w->live);
    shell(w, line);
    engine_app_open(w);
    return saved;
}

/* What the application's process is, and what was counted, is so whatever was forgotten. */
void engine_again_back(struct engine_world *w, const struct engine_saved *saved)
{
    const struct engine_world now = *w;
    char line[4 * ENGINE_PATH_SIZE];

    engine_app_close(w);
    (void)snprintf(line, sizeof line, "rm -rf %s && cp -a %s.saved %s", w->live, w->live, w->live);
    memcpy(w, &saved->world, sizeof *w);
    memcpy(w->wrong, now.wrong, sizeof w->wrong);
    w->app = now.app;
    w->kills = now.kills;
    w->lives = now.lives;
    w->restores = now.restores;
    w->faults = now.faults;
    shell(w, line);
    engine_app_open(w);
}

void engine_again_drop(struct engine_world *w, struct engine_saved *saved)
{
    char line[3 * ENGINE_PATH_SIZE];

    (void)snprintf(line, sizeof line, "rm -rf %s.saved", w->live);
    shell(w, line);
    free(saved);
}
