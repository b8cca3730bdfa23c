#include "core/config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { CLEAN, THREADS, BYTES, RATIO, HOST, CODEC, DIRS, PASSWORD, PORTS, SETTINGS };

static const struct setting settings[SETTINGS] = {
    [CLEAN] = {.name = "log.cleaner.enable", .type = SETTING_BOOL, .text = "true"},
    [THREADS] =
        {.name = "num.io.threads", .type = SETTING_INT, .text = "8", .least = 1, .most = INT32_MAX},
    [BYTES] = {.name = "odradek.memory",
               .type = SETTING_SIZE,
               .text = "1G",
               .least = 1,
               .most = INT64_MAX},
    [RATIO] =
        {.name = "log.cleaner.ratio", .type = SETTING_DOUBLE, .text = "0.5", .least = 0, .most = 1},
    [HOST] = {.name = "host.name", .type = SETTING_STRING},
    [CODEC] = {.name = "compression.type",
               .type = SETTING_WORD,
               .text = "producer",
               .words = "producer,gzip,zstd"},
    [DIRS] = {.name = "log.dirs", .type = SETTING_LIST, .text = "/tmp/a"},
    [PASSWORD] = {.name = "ssl.key.password", .type = SETTING_BOOL, .flags = SETTING_SECRET},
    [PORTS] = {.name = "cleanup.policy",
               .type = SETTING_LIST,
               .text = "",
               .words = "delete,compact"},
};

static struct config config;
static char why[400];
static char unknown[400];

static void note_unknown(void *context, const char *where, const char *name, const char *nearest)
{
    snprintf(unknown, sizeof(unknown), "%s %s %s", where, name, nearest ? nearest : "-");
}

static void setup(void)
{
    cr_assert_eq(config_init(&config, settings, SETTINGS), 0);
    config.unknown = note_unknown;
}

static void teardown(void)
{
    config_deinit(&config);
}

TestSuite(config, .init = setup, .fini = teardown);

static bool read_text(const char *text)
{
    return config_read(&config, "server.properties", text, strlen(text), why, sizeof(why));
}

Test(config, starts_with_the_defaults)
{
    cr_assert(config_bool(&config, CLEAN));
    cr_assert_eq(config_int(&config, THREADS), 8);
    cr_assert_eq(config_int(&config, BYTES), (int64_t)1 << 30);
    cr_assert_eq(config_double(&config, RATIO), 0.5);
    cr_assert_not(config_is_set(&config, HOST));
    cr_assert_eq(config_word(&config, CODEC), 0);
    cr_assert_eq(config_list_count(&config, DIRS), 1);
    cr_assert_str_eq(config_list_item(&config, DIRS, 0), "/tmp/a");
    cr_assert_eq(config_list_count(&config, PORTS), 0);
    cr_assert_eq(config_source(&config, DIRS), CONFIG_DEFAULT);
}

Test(config, takes_a_file_and_then_overrides)
{
    cr_assert(read_text("log.cleaner.enable = FALSE \nnum.io.threads=3\nodradek.memory=64m\n"
                        "log.dirs=/data/1 , /data/2\\\n ,/data/3\ncompression.type: zstd\n"),
              "%s", why);
    cr_assert(config_override(&config, "num.io.threads=5", why, sizeof(why)));
    cr_assert_not(config_bool(&config, CLEAN));
    cr_assert_eq(config_int(&config, THREADS), 5);
    cr_assert_eq(config_source(&config, THREADS), CONFIG_OVERRIDE);
    cr_assert_eq(config_source(&config, CODEC), CONFIG_FILE);
    cr_assert_eq(config_int(&config, BYTES), (int64_t)64 << 20);
    cr_assert_eq(config_list_count(&config, DIRS), 3);
    cr_assert_str_eq(config_list_item(&config, DIRS, 1), "/data/2");
    cr_assert_str_eq(config_list_item(&config, DIRS, 2), "/data/3");
    cr_assert_str_eq(config_text(&config, CODEC), "zstd");
    cr_assert_eq(config_word(&config, CODEC), 2);
}

Test(config, says_file_line_setting_value_and_what_is_allowed)
{
    cr_assert_not(read_text("\n# x\nnum.io.threads=0\n"));
    cr_assert_str_eq(why, "server.properties:3: num.io.threads = \"0\": a whole number from 1 to "
                          "2147483647 is allowed");
    cr_assert_not(config_override(&config, "compression.type=brotli", why, sizeof(why)));
    cr_assert_str_eq(why, "command line: compression.type = \"brotli\": one of producer,gzip,zstd "
                          "is allowed");
    cr_assert_eq(config_int(&config, THREADS), 8, "what is wrong changes nothing");
}

Test(config, refuses_what_is_not_of_the_type)
{
    static const char *const wrong[] = {
        "log.cleaner.enable=yes",
        "num.io.threads=",
        "num.io.threads=1x",
        "num.io.threads=1K",
        "num.io.threads=99999999999999999999",
        "odradek.memory=1KB",
        "odradek.memory=0",
        "odradek.memory=9999999999T",
        "log.cleaner.ratio=1.5",
        "log.cleaner.ratio=nan",
        "log.cleaner.ratio=",
        "cleanup.policy=delete,keep",
        "cleanup.policy=delete,",
        "no-equals",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_expect_not(config_override(&config, wrong[i], why, sizeof(why)), "%s", wrong[i]);
    }
    cr_assert(config_override(&config, "cleanup.policy= compact , delete", why, sizeof(why)));
    cr_assert_eq(config_list_count(&config, PORTS), 2);
    cr_assert_str_eq(config_list_item(&config, PORTS, 1), "delete");
}

Test(config, never_prints_a_secret)
{
    cr_assert_not(config_override(&config, "ssl.key.password=hunter2", why, sizeof(why)));
    cr_assert_null(strstr(why, "hunter2"));
}

Test(config, escapes_what_it_prints)
{
    cr_assert_not(config_override(&config, "num.io.threads=\x1b[2J", why, sizeof(why)));
    cr_assert_not_null(strstr(why, "\\x1b[2J"));
}

Test(config, passes_over_unknown_names_and_guesses_what_was_meant)
{
    cr_assert(read_text("num.io.thread=3\n"));
    cr_assert_str_eq(unknown, "server.properties:1 num.io.thread num.io.threads");
    cr_assert(read_text("something.else.entirely=3\n"));
    cr_assert_str_eq(unknown, "server.properties:1 something.else.entirely -");
}
