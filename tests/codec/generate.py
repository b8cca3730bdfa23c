#!/usr/bin/env python3
"""generate -- from the schemas of net/schema/, what the tests of the codec need.

    generate.py table OUT SCHEMA...   writes OUT, the C of tests/codec/table.h
    generate.py describe SCHEMA...    prints each message in each version, field by field, in the
                                      words in which Kafka.java describes Kafka's own
"""

import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
import codec_generator as codec  # noqa: E402


# --- describe ---------------------------------------------------------------------------------


def describe_item(message, field, version):
    if field.struct:
        return "{" + describe_fields(message, field.struct, version) + "}"
    if field.kind in codec.VIEWS:
        return ("compact_" if field.is_compact(message, version) else "") + field.kind
    return field.kind


def describe_field(message, field, version):
    text = describe_item(message, field, version)
    if field.is_array:
        text = ("compact_" if field.is_compact(message, version) else "") + f"[{text}]"
    return f"{field.name}:{text}" + ("?" if version in field.nullable else "")


def describe_fields(message, struct, version):
    parts = [describe_field(message, f, version) for f in struct.untagged()
             if version in f.versions]
    if version in message.flexible:
        tagged = [f"{f.tag}={describe_field(message, f, version)}" for f in struct.tagged()
                  if version in f.versions]
        parts.append("tagged(" + " ".join(tagged) + ")")
    return " ".join(parts)


def describe(paths):
    for path in paths:
        for message in codec.Schema(path).messages:
            versions = f"versions {min(message.versions)}-{max(message.versions)}"
            key = "none" if message.key is None else message.key
            print(f"{message.c_name} key {key} {versions}")
            for version in sorted(message.versions):
                fields = describe_fields(message, message, version)
                print(f"{message.c_name} {version} {{{fields}}}")


# --- table ------------------------------------------------------------------------------------


def fill_item(field, version):
    if field.kind in codec.SCALARS:
        return f"fill_{field.kind}(fill)"
    null = "" if field.is_array else codec.or_null(field, version)
    kind = "bytes" if field.kind == "records" else field.kind
    value = f"fill_{kind}{null}(fill)"
    return f"codec_records({value})" if field.kind == "records" else value


def put_fill_field(out, depth, field, place):
    if field.is_array:
        codec.put_by_version(out, depth, field.versions, field.versions, lambda v: (
            f"{place}_count = fill_count{codec.or_null(field, v)}(fill);"))
        out.put(f"{place} = fill_items(fill, {place}_count, sizeof *{place});", depth)
        out.put(f"for (int32_t i = 0; i < {place}_count; i++) {{", depth)
        if field.struct:
            out.put(f"{field.struct.c_name}_fill(&{place}[i], fill, version);", depth + 1)
        else:
            out.put(f"{place}[i] = {fill_item(field, min(field.versions))};", depth + 1)
        out.put("}", depth)
    elif codec.is_pointer(field):
        out.put("if (fill_bool(fill)) {", depth)
        out.put(f"{place} = fill_items(fill, 1, sizeof *{place});", depth + 1)
        out.put(f"{field.struct.c_name}_fill({place}, fill, version);", depth + 1)
        out.put("}", depth)
    elif field.struct:
        out.put(f"{field.struct.c_name}_fill(&{place}, fill, version);", depth)
    else:
        codec.put_by_version(out, depth, field.versions, field.versions,
                             lambda v: f"{place} = {fill_item(field, v)};")


def put_fill(out, message, struct):
    name = struct.name
    out.put(f"static void {struct.c_name}_fill(struct {struct.c_name} *{name}, "
            "struct fill *fill, int16_t version)")
    out.put("{")
    out.put(f"{struct.c_name}_init({name});", 1)
    for field in struct.fields:
        tests = [codec.condition(field.versions, struct.versions)]
        if field.tag is not None:
            tests.append("fill_bool(fill)")  # else it stays at its default
        test = " && ".join(t for t in tests if t)
        if test:
            out.put(f"if ({test}) {{", 1)
        put_fill_field(out, 2 if test else 1, field, f"{name}->{field.name}")
        if test:
            out.put("}", 1)
    out.put("}")
    out.put("")


def put_wrappers(out, name):
    out.put(f"static bool {name}_decode_any(void *message, struct cursor *cursor, "
            "int16_t version, struct arena *arena)")
    out.put("{")
    out.put(f"return {name}_decode(message, cursor, version, arena);", 1)
    out.put("}")
    out.put("")
    out.put(f"static void {name}_encode_any(const void *message, struct writer *writer, "
            "int16_t version)")
    out.put("{")
    out.put(f"{name}_encode(message, writer, version);", 1)
    out.put("}")
    out.put("")
    out.put(f"static void {name}_fill_any(void *message, struct fill *fill, int16_t version)")
    out.put("{")
    out.put(f"{name}_fill(message, fill, version);", 1)
    out.put("}")
    out.put("")


def table(out_path, paths):
    out = codec.Out()
    out.put("/* Generated from net/schema/ by tests/codec/generate.py. */")
    out.put('#include "tests/codec/table.h"')
    out.put("")
    schemas = {os.path.basename(path).removesuffix(".schema"): codec.Schema(path)
               for path in paths}
    for schema_name in schemas:
        out.put(f'#include "net/codec/{schema_name}.h"')
    out.put("")
    rows = []
    for schema_name, schema in schemas.items():
        for message in schema.messages:
            for struct in message.structs.values():
                put_fill(out, message, struct)
            put_wrappers(out, message.c_name)
            name = message.c_name
            rows.append(f'{{"{schema_name}", "{name}", sizeof(struct {name}), '
                        f"{min(message.versions)}, {max(message.versions)}, "
                        f"{name}_decode_any, {name}_encode_any, {name}_fill_any}},")
    out.put("const struct codec_entry codec_entries[] = {")
    for row in rows:
        out.put(row, 1)
    out.put("};")
    out.put("")
    out.put("const uint32_t codec_entries_count = sizeof codec_entries / sizeof codec_entries[0];")
    codec.write(out_path, out.text())


if __name__ == "__main__":
    if sys.argv[1] == "describe":
        describe(sys.argv[2:])
    else:
        table(sys.argv[2], sys.argv[3:])
