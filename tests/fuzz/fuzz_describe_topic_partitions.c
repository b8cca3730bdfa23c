#include "tests/codec/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    return fuzz_schema("describe_topic_partitions", data, bytes);
}
