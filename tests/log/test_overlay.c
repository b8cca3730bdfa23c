#include "log/overlay.h"

#include "tests/log/world.h"

enum { BLOCK = 4096, FILE_BYTES_MAX = 3 << 20, STEPS = 200 };

struct scene {
    uint64_t seed;
    uint8_t *model; /* what the file should say */
    uint64_t bytes; /* and how far */
};

static void put(struct overlay *overlay, struct scene *scene, uint64_t position, uint64_t bytes,
                uint8_t value)
{
    for (uint64_t done = 0; done < bytes;) {
        uint8_t *to;
        uint32_t count;
        cr_assert_eq(overlay_put(overlay, position + done, bytes - done, &to, &count), 0);
        cr_assert(count > 0 && count <= bytes - done);
        memset(to, value, count);
        done += count;
    }
    memset(scene->model + position, value, bytes);
    scene->bytes = position + bytes > scene->bytes ? position + bytes : scene->bytes;
}

static void look(struct overlay *overlay, const struct scene *scene, uint64_t position,
                 uint32_t bytes)
{
    const uint8_t *at;
    uint32_t count;
    cr_assert_eq(overlay_look(overlay, position, bytes, &at, &count), 0);
    cr_assert(count == bytes || position + count >= scene->bytes);
    cr_assert_arr_eq(at, scene->model + position, count);
}

static int64_t random_run(struct files *files, void *context)
{
    struct scene *scene = context;
    struct sim_random random = {scene->seed};
    struct overlay overlay;
    void *window = aligned_alloc(BLOCK, OVERLAY_WINDOW_BYTES);
    cr_assert_eq(overlay_open(&overlay, files, "/data/file", FILES_CREATE, window), 0);
    for (int i = 0; i < STEPS; i++) {
        uint64_t position = sim_below(&random, scene->bytes + 1);
        uint64_t most = sim_chance(&random, 10) ? 1 << 20 : 3 * BLOCK;
        uint64_t bytes = sim_between(&random, 1, most);
        switch (sim_below(&random, 8)) {
        case 0:
            look(&overlay, scene, position, 1 + (uint32_t)(bytes % OVERLAY_LOOK_BYTES_MAX));
            break;
        case 1:
            cr_assert_eq(overlay_cut(&overlay, position), 0);
            memset(scene->model + position, 0, FILE_BYTES_MAX - position);
            scene->bytes = position;
            break;
        default:
            if (position + bytes <= FILE_BYTES_MAX) {
                put(&overlay, scene, position, bytes, (uint8_t)i);
            }
        }
    }
    cr_assert_eq(overlay_write(&overlay), 0);
    overlay_close(&overlay);
    free(window);
    return 0;
}

Test(overlay, lays_bytes_over_a_file_as_if_it_had_no_blocks)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct scene scene = {.seed = seed, .model = calloc(1, FILE_BYTES_MAX)};
        struct world world;
        world_open(&world, seed);
        scene.bytes = seed * 1000; /* a file that was there, of any length */
        memset(scene.model, 0xee, scene.bytes);
        world_write(&world, "/data/file", scene.model, scene.bytes);
        world_run(&world, random_run, &scene);
        char *text;
        int64_t bytes = world_read(&world, "/data/file", &text);
        cr_assert_geq(bytes, (int64_t)scene.bytes);
        cr_assert_arr_eq(text, scene.model, (size_t)bytes, "seed %lu", (unsigned long)seed);
        free(text);
        free(scene.model);
        world_close(&world);
    }
}
