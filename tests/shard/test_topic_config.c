#include "core/inflate.h"
#include "shard/topic_config.h"
#include "shard/topic_name.h"

#include <criterion/criterion.h>
#include <stdio.h>

static bool allows(const char *name, const char *value)
{
    char why[256];
    return topic_config_check(topic_config_find(view_of_text(name)), view_of_text(value), why,
                              sizeof why);
}

Test(topic_config, knows_names_and_nothing_else)
{
    cr_assert_eq(topic_config_find(view_of_text("retention.ms")), TOPIC_CONFIG_RETENTION_MS);
    cr_assert_eq(topic_config_find(view_of_text("retention.msx")), TOPIC_CONFIGS);
    cr_assert_eq(topic_config_find(view_of_text("")), TOPIC_CONFIGS);
}

Test(topic_config, allows_what_kafka_allows)
{
    cr_assert(allows("retention.ms", "-1"));
    cr_assert(!allows("retention.ms", "-2"));
    cr_assert(!allows("retention.ms", "abc"));
    cr_assert(!allows("retention.ms", ""));
    cr_assert(!allows("retention.ms", "99999999999999999999"));
    cr_assert(!allows("max.message.bytes", "2147483648"));
    cr_assert(allows("segment.bytes", "1048576"));
    cr_assert(!allows("segment.bytes", "1048575"));
    cr_assert(allows("cleanup.policy", "compact,delete"));
    cr_assert(allows("cleanup.policy", "compact, delete"));
    cr_assert(!allows("cleanup.policy", "compact,destroy"));
    cr_assert(allows("compression.type", "zstd"));
    cr_assert(!allows("compression.type", "zst"));
    cr_assert(allows("preallocate", "TRUE"));
    cr_assert(!allows("preallocate", "yes"));
    cr_assert(allows("min.cleanable.dirty.ratio", "0.25"));
    cr_assert(!allows("min.cleanable.dirty.ratio", "1.5"));
    cr_assert(!allows("min.cleanable.dirty.ratio", "nan"));
}

Test(topic_config, refuses_a_value_with_a_zero_byte)
{
    char why[256];
    enum topic_config_id id = topic_config_find(view_of_text("retention.ms"));
    cr_assert(!topic_config_check(id, view_of("5\0x", 3), why, sizeof why));
    cr_assert_str_eq(why, "The value for configuration retention.ms has a zero byte in it");
    cr_assert(!topic_config_check(id, VIEW_NULL, why, sizeof why));
}

Test(topic_config, every_default_is_allowed)
{
    const char *defaults[TOPIC_CONFIGS];
    topic_config_defaults(defaults);
    for (uint32_t id = 0; id < TOPIC_CONFIGS; id++) {
        char why[256];
        cr_assert(topic_config_check(id, view_of_text(defaults[id]), why, sizeof why), "%s: %s",
                  topic_config_name(id), why);
    }
}

Test(topic_config, resolves_a_topics_values_over_the_brokers)
{
    const char *defaults[TOPIC_CONFIGS];
    topic_config_defaults(defaults);
    defaults[TOPIC_CONFIG_SEGMENT_BYTES] = "2000000";
    struct topic_config configs[] = {{"compression.type", "lz4"}, {"segment.ms", "60000"}};
    struct topic_settings settings;
    topic_settings_resolve(&settings, defaults, configs, 2);
    cr_assert_eq(settings.log.segment_bytes, 2000000);
    cr_assert_eq(settings.log.segment_ms, 60000);
    cr_assert(!settings.keeps_codec);
    cr_assert_eq(settings.codec, CODEC_LZ4);
    cr_assert_eq(settings.codec_level, 9);
    cr_assert(!settings.validates_headers_only);
}

Test(topic_name, refuses_what_cannot_be_a_path)
{
    char why[384], name[300];
    memset(name, 'n', sizeof name);
    cr_assert_null(topic_name_check(view_of_text("a.b_c-D9"), why, sizeof why));
    cr_assert_null(topic_name_check(view_of(name, 249), why, sizeof why));
    cr_assert(topic_name_check(view_of(name, 250), why, sizeof why));
    cr_assert(topic_name_check(view_of_text(""), why, sizeof why));
    cr_assert(topic_name_check(VIEW_NULL, why, sizeof why));
    cr_assert(topic_name_check(view_of_text("."), why, sizeof why));
    cr_assert(topic_name_check(view_of_text(".."), why, sizeof why));
    cr_assert(topic_name_check(view_of_text("../x"), why, sizeof why));
    cr_assert(topic_name_check(view_of("a\0b", 3), why, sizeof why));
    cr_assert(topic_name_check(view_of_text("\xc3\xa9"), why, sizeof why));
}
