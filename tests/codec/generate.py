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


def put_fill_field(out, field, place):
    if field.is_array:
        codec.put_by_version(out, field.versions, field.versions, lambda version: (
            f"{place}_count = fill_count{codec.or_null(field, version)}(fill);"))
        out.put(f"{place} = fill_items(fill, {place}_count, sizeof *{place});")
        with out.block(f"for (int32_t i = 0; i < {place}_count; i++)"):
            if field.struct:
                out.put(f"{field.struct.c_name}_fill(&{place}[i], fill, version);")
            else:
                out.put(f"{place}[i] = {fill_item(field, min(field.versions))};")
    elif codec.is_pointer(field):
        with out.block("if (fill_bool(fill))"):
            out.put(f"{place} = fill_items(fill, 1, sizeof *{place});")
            out.put(f"{field.struct.c_name}_fill({place}, fill, version);")
    elif field.struct:
        out.put(f"{field.struct.c_name}_fill(&{place}, fill, version);")
    else:
        codec.put_by_version(out, field.versions, field.versions,
                             lambda version: f"{place} = {fill_item(field, version)};")


def put_fill(out, struct):
    name = struct.name
    with out.function(f"static void {struct.c_name}_fill(struct {struct.c_name} *{name}, "
                      "struct fill *fill, int16_t version)"):
        out.put(f"{struct.c_name}_init({name});")
        for field in struct.fields:
            tests = [codec.condition(field.versions, struct.versions)]
            if field.tag is not None:
                tests.append("fill_bool(fill)")  # else it stays at its default
            test = " && ".join(test for test in tests if test)
            with out.block(f"if ({test})" if test else ""):
                put_fill_field(out, field, f"{name}->{field.name}")


def put_wrappers(out, name):
    """The functions of a message for any message, as a table can hold them."""
    with out.function(f"static bool {name}_decode_any(void *message, struct cursor *cursor, "
                      "int16_t version, struct arena *arena)"):
        out.put(f"return {name}_decode(message, cursor, version, arena);")
    with out.function(f"static void {name}_encode_any(const void *message, "
                      "struct writer *writer, int16_t version)"):
        out.put(f"{name}_encode(message, writer, version);")
    with out.function(f"static void {name}_fill_any(void *message, struct fill *fill, "
                      "int16_t version)"):
        out.put(f"{name}_fill(message, fill, version);")


def table(out_path, paths):
    out = codec.Out()
    out.put("/* Generated from net/schema/ by tests/codec/generate.py. */")
    out.put('#include "tests/codec/table.h"')
    out.put()
    schemas = {os.path.basename(path).removesuffix(".schema"): codec.Schema(path)
               for path in paths}
    for schema_name in schemas:
        out.put(f'#include "net/codec/{schema_name}.h"')
    out.put()
    rows = []
    for schema_name, schema in schemas.items():
        for message in schema.messages:
            for struct in message.structs.values():
                put_fill(out, struct)
            put_wrappers(out, message.c_name)
            name = message.c_name
            rows.append(f'{{"{schema_name}", "{name}", sizeof(struct {name}), '
                        f"{min(message.versions)}, {max(message.versions)}, "
                        f"{name}_decode_any, {name}_encode_any, {name}_decode_slice, "
                        f"{name}_encode_slice, {name}_fill_any}},")
    out.put("const struct codec_entry codec_entries[] = {")
    out.lines += ["    " + row for row in rows]
    out.put("};")
    out.put()
    out.put("const uint32_t codec_entries_count = sizeof codec_entries / sizeof codec_entries[0];")
    codec.write(out_path, out.text())


if __name__ == "__main__":
    if sys.argv[1] == "describe":
        describe(sys.argv[2:])
    else:
        table(sys.argv[2], sys.argv[3:])
