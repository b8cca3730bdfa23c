#include "tests/codec/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    return fuzz_schema("api_versions", data, bytes);
}
