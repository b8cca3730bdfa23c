#!/usr/bin/env python3
"""codec_generator -- from a schema of net/schema/ to the C structs that hold its messages and the
functions that read and write them.

    codec_generator.py SCHEMA OUT       writes OUT.h and OUT.c; codec_schema.py tells of SCHEMA

A struct without arrays is read and written straight down. One that holds arrays is a place to pause
at: its function is a switch over how far it has come, falling through from one array to the next,
and goes on inside of an array by the index kept in the walk (net/codec.h).
"""

import contextlib
import os
import re
import sys

from codec_schema import SCALARS, VIEWS, Schema, SchemaError, is_pointer

INT_NAMED = {-(2**31): "INT32_MIN", 2**31 - 1: "INT32_MAX", 2**63 - 1: "INT64_MAX"}


class Out:
    """Lines of C, indented by the blocks that are open, broken within 100 columns."""

    def __init__(self):
        self.lines = []
        self.depth = 0
        self.joinable = None  # (head, line count) of the block closed last

    def put(self, text=""):
        self.lines.extend(wrap(text, "    " * self.depth) if text else [""])

    @contextlib.contextmanager
    def block(self, head):
        """head { ... }. With an empty head, nothing but its content. An `if` that asks the same as
        the one just before it joins that."""
        if not head:
            yield
            return
        if head.startswith("if") and self.joinable == (head, self.depth, len(self.lines)):
            self.lines.pop()
        else:
            self.put(f"{head} {{")
        self.depth += 1
        yield
        self.depth -= 1
        self.put("}")
        self.joinable = (head, self.depth, len(self.lines))

    @contextlib.contextmanager
    def function(self, prototype):
        self.put(prototype)
        self.put("{")
        self.depth += 1
        yield
        self.depth -= 1
        self.put("}")
        self.put()

    def text(self):
        return "\n".join(self.lines).rstrip("\n") + "\n"


def wrap(line, lead):
    """A line within 100 columns: broken at an `&&`, else at the commas of its first parentheses."""
    if len(lead + line) <= 100:
        return [lead + line]
    if " && " in line:
        left, right = line.split(" && ", 1)
        behind = " = " if " = " in left else "("
        column = len(lead) + left.index(behind) + len(behind)
        return [f"{lead}{left} &&", *wrap(right, " " * column)]
    if "(" not in line:
        return [lead + line]
    open_at = line.index("(") + 1
    column = len(lead) + open_at
    parts = re.findall(r"[^,]+(?:, ?|$)", line[open_at:])
    lines, current = [], lead + line[:open_at]
    if column + max(len(part.rstrip()) for part in parts) > 100:
        lines, current, column = [current], "", len(lead) + 8
    for part in parts:
        if current and len(current + part.rstrip()) > 100:
            lines.append(current.rstrip())
            current = ""
        current = (current or " " * column) + part
    return [*lines, current]


def condition(versions, among):
    """A C condition that holds for `versions`, given that the version is one of `among`."""
    low, high = min(versions), max(versions)
    if len(versions) != high - low + 1:
        raise SchemaError(f"versions with a gap: {sorted(versions)}")
    if low == high and min(among) < low < max(among):
        return f"version == {low}"
    parts = []
    if low > min(among):
        parts.append(f"version >= {low}")
    if high < max(among):
        parts.append(f"version <= {high}")
    return " && ".join(parts)


def only(versions, among):
    """The head of a block for `versions`; empty when that is all."""
    test = condition(versions, among)
    return f"if ({test})" if test else ""


def put_by_version(out, versions, among, line_of):
    """Put what line_of(version) says under the conditions under which it says so: one line, or an
    if-chain from the newest versions to the oldest."""
    runs = []  # (versions, line), newest first
    for version in sorted(versions, reverse=True):
        line = line_of(version)
        if runs and runs[-1][1] == line:
            runs[-1][0].add(version)
        else:
            runs.append(({version}, line))
    if len(runs) == 1:
        with out.block(only(versions, among)):
            out.put(runs[0][1])
        return
    left = set(among)
    for index, (run, line) in enumerate(runs):
        head = only(run, left)
        if index == 0:
            out.put(f"{head} {{")
        else:
            out.put(f"}} else {head} {{" if head else "} else {")
        out.put("    " + line)
        left -= run
    out.put("}")


# --- How a field stands on the wire and in C --------------------------------------------------


def form(message, field, version, kind):
    """How `kind` is called in this version: its name, `compact_` before it, `_or_null` behind."""
    compact = "compact_" if field.is_compact(message, version) else ""
    return compact + kind + or_null(field, version)


def item_form(message, field, version, kind):
    """The same for the items of an array, which are never null."""
    if field.is_array:
        return ("compact_" if field.is_compact(message, version) else "") + kind
    return form(message, field, version, kind)


def or_null(field, version):
    return "_or_null" if version in field.nullable else ""


def bytes_min(message, struct, version):
    """The fewest bytes that one of these takes."""
    total = 1 if version in message.flexible else 0
    for field in struct.untagged():
        if version in field.versions:
            total += field_bytes_min(message, field, version)
    return total


def field_bytes_min(message, field, version):
    if field.is_array or field.kind in ("bytes", "records"):
        return 1 if field.is_compact(message, version) else 4
    if is_pointer(field):
        return 1
    return item_bytes_min(message, field, version)


def item_bytes_min(message, field, version):
    if field.kind in SCALARS:
        return SCALARS[field.kind][1]
    if field.kind in VIEWS:
        return 1 if field.is_compact(message, version) else (2 if field.kind == "string" else 4)
    return max(bytes_min(message, field.struct, version), 1)


def c_type(field):
    if field.struct:
        return f"struct {field.struct.c_name}"
    return SCALARS[field.kind][0] if field.kind in SCALARS else VIEWS[field.kind]


def initial(field):
    """The initialiser of a field whose default is not all zeros, else None."""
    if field.is_array:
        return "-1" if field.default == "null" else None
    if field.struct:
        inner = None if is_pointer(field) else initialiser(field.struct)
        return f"{{{inner}}}" if inner else None
    if field.kind in VIEWS:
        null = "RECORDS_NULL" if field.kind == "records" else "VIEW_NULL"
        return null if field.default == "null" else None
    if field.default in (None, "false", "0"):
        return None
    if field.default == "true":
        return "true"
    return INT_NAMED.get(int(field.default), field.default)


def initialiser(struct):
    parts = []
    for field in struct.fields:
        value = initial(field)
        if value:
            parts.append(f".{field.name}{'_count' if field.is_array else ''} = {value}")
    return ", ".join(parts)


def compared(field, place):
    """The C conditions that a field is, and that it is not, at its default."""
    null = field.default == "null"
    if field.is_array:
        return (f"{place}_count < 0", f"{place}_count >= 0") if null else (
            f"{place}_count <= 0", f"{place}_count > 0")
    if is_pointer(field):
        return f"!{place}", place
    if field.struct:
        call = f"{field.struct.c_name}_is_default(&{place})"
        return call, f"!{call}"
    if field.kind in VIEWS:
        return (f"{place}.bytes < 0", f"{place}.bytes >= 0") if null else (
            f"{place}.bytes == 0", f"{place}.bytes != 0")
    if field.kind == "uuid":
        return f"uuid_is_zero(&{place})", f"!uuid_is_zero(&{place})"
    if field.kind == "bool":
        return (place, f"!{place}") if field.default == "true" else (f"!{place}", place)
    value = initial(field) or 0
    return f"{place} == {value}", f"{place} != {value}"


# --- The header -------------------------------------------------------------------------------


def field_comment(struct, field):
    """Which versions have it, where it may be null, and what the schema says of it."""
    low, high = min(field.versions), max(field.versions)
    parts = []
    if field.versions != struct.versions:
        is_open = high == max(struct.versions)
        parts.append(f"{low}+" if is_open else f"{low}" if low == high else f"{low}-{high}")
    if field.nullable == field.versions:
        parts.append("or null")
    elif field.nullable:
        parts.append(f"or null {min(field.nullable)}+")
    text = ": ".join(part for part in (" ".join(parts), field.comment) if part)
    return f" /* {text} */" if text else ""


def put_struct(out, struct):
    out.put(f"struct {struct.c_name} {{")
    for field in struct.fields:
        comment = field_comment(struct, field)
        if field.is_array:
            out.put(f"    int32_t {field.name}_count;{comment}")
            out.put(f"    {c_type(field)} *{field.name};")
        else:
            star = "*" if is_pointer(field) else ""
            out.put(f"    {c_type(field)} {star}{field.name};{comment}")
    if not struct.fields:
        out.put("    char nothing; /* C has no empty structs */")
    out.put("};")
    out.put()
    name = struct.name
    with out.function(f"static inline void {struct.c_name}_init(struct {struct.c_name} *{name})"):
        inner = initialiser(struct) or "0"
        line = f"*{name} = (struct {struct.c_name}){{{inner}}};"
        if len(line) + 4 <= 100:
            out.put(line)
        else:
            out.put(f"*{name} = (struct {struct.c_name}){{")
            for part in re.split(r", (?=\.)(?![^{]*})", inner):
                out.put(f"    {part},")
            out.put("};")


def put_constants(out, message):
    prefix = message.c_name.upper()
    flexible = min(message.flexible) if message.flexible else "INT16_MAX /* none */"
    out.put("enum {")
    if message.key is not None:
        out.put(f"    {prefix}_KEY = {message.key},")
    out.put(f"    {prefix}_VERSION_MIN = {min(message.versions)},")
    out.put(f"    {prefix}_VERSION_MAX = {max(message.versions)},")
    out.put(f"    {prefix}_FLEXIBLE_MIN = {flexible},")
    out.put("};")
    out.put()


def decode_prototype(message):
    name = message.c_name
    return (f"bool {name}_decode(struct {name} *{message.name}, struct cursor *cursor, "
            "int16_t version, struct arena *arena)")


def encode_prototype(message):
    name = message.c_name
    return (f"void {name}_encode(const struct {name} *{message.name}, struct writer *writer, "
            "int16_t version)")


def slice_prototype(message, verb):
    name = message.c_name
    return {
        "decode": f"bool {name}_decode_slice(void *message, struct cursor *cursor, "
                  "int16_t version, struct arena *arena, struct codec_walk *walk)",
        "encode": f"bool {name}_encode_slice(const void *message, struct writer *writer, "
                  "int16_t version, struct codec_walk *walk)",
    }[verb]


def generated_notice(schema):
    return f"/* Generated from net/schema/{os.path.basename(schema.path)}; change that instead. */"


def header(schema, out_name):
    out = Out()
    guard = f"NET_CODEC_{out_name.upper()}_H"
    out.put(generated_notice(schema))
    out.put(f"#ifndef {guard}")
    out.put(f"#define {guard}")
    out.put()
    out.put('#include "net/codec.h"')
    out.put()
    if schema.api:
        put_constants(out, schema.api)
    for message in schema.messages:
        if not schema.api:
            put_constants(out, message)
        for struct in message.structs.values():
            put_struct(out, struct)
        out.put(f"[[nodiscard]] {decode_prototype(message)};")
        out.put(f"{encode_prototype(message)};")
        out.put(f"codec_decode_fn {message.c_name}_decode_slice;")
        out.put(f"codec_encode_fn {message.c_name}_encode_slice;")
        out.put()
    out.put("#endif")
    return out.text()


# --- Decoding ---------------------------------------------------------------------------------


def read_item(message, field, version, cursor):
    """The C expression that reads one scalar or view."""
    if field.kind in SCALARS:
        return f"cursor_{field.kind}({cursor})"
    if field.kind == "records":
        return f"codec_records(cursor_{item_form(message, field, version, 'bytes')}({cursor}))"
    return f"cursor_{item_form(message, field, version, field.kind)}({cursor})"


def put_decode_field(out, message, field, place, cursor, among):
    """Read a field into `place`, given that the version is one of `among`."""
    if field.is_array:
        put_decode_array(out, message, field, place, cursor, among)
    elif is_pointer(field):
        with out.block(only(field.versions, among)):
            out.put(f"{place} = codec_take_or_null({cursor}, arena, sizeof *{place});")
            with out.block(f"if ({place})"):
                out.put(f"{field.struct.c_name}_decode_fields({place}, {cursor}, version, arena);")
    elif field.struct:
        with out.block(only(field.versions, among)):
            out.put(f"{field.struct.c_name}_decode_fields(&{place}, {cursor}, version, arena);")
    else:
        put_by_version(out, field.versions, among, lambda version: (
            f"{place} = {read_item(message, field, version, cursor)};"))


def put_decode_array(out, message, field, place, cursor, among):
    """A tagged one: short, and read in one go."""
    put_decode_count(out, message, field, place, cursor, among)
    with out.block(f"for (int32_t i = 0; i < {place}_count && !{failed(cursor)}; i++)"):
        put_decode_item(out, message, field, f"{place}[i]", cursor)


def put_decode_count(out, message, field, place, cursor, among):
    """How many there are, and room for them."""
    sizes = {item_bytes_min(message, field, version) for version in field.versions}

    def count(version):
        size = item_bytes_min(message, field, version)
        if field.struct and len(sizes) > 1:
            size = f"{field.struct.c_name}_bytes_min[version]"
        return f"{place}_count = cursor_{form(message, field, version, 'count')}({cursor}, {size});"

    put_by_version(out, field.versions, among, count)
    # where the version has no such array, the count is 0 or -1 and nothing happens
    take = "codec_take_few" if field.tag is not None else "codec_take_items"
    out.put(f"{place} = {take}({cursor}, arena, &{place}_count, sizeof *{place});")


def decode_call(field, item, cursor, walk=""):
    return (f"{field.struct.c_name}_decode_fields(&{item}, {cursor}, version, arena{walk})"
            if field.struct else None)


def put_decode_item(out, message, field, item, cursor):
    if field.struct:
        out.put(f"{decode_call(field, item, cursor)};")
    else:
        put_by_version(out, field.versions, field.versions, lambda version: (
            f"{item} = {read_item(message, field, version, cursor)};"))


def failed(cursor):
    return f"{cursor[1:]}.failed" if cursor.startswith("&") else f"{cursor}->failed"


def runs(struct):
    """The untagged fields of a struct that pauses: [(fields, the array behind them)], the rest."""
    found, fields = [], []
    for field in struct.untagged():
        if field.is_array:
            found.append((fields, field))
            fields = []
        else:
            fields.append(field)
    return found, fields


@contextlib.contextmanager
def steps(out, struct):
    """The switch over how far a struct that pauses has come, up to the end of its last array."""
    out.put(f"struct codec_place at = codec_resume(walk, {struct.level});")
    out.put("switch (at.step) {")
    out.put("case 0:")
    out.depth += 1
    yield
    out.depth -= 1
    out.put("}")


@contextlib.contextmanager
def items(out, struct, step, field, head, spent, call):
    """Step into an array, and on through its items; `call` is for those that may pause themselves,
    the block's content for others."""
    if step > 1:
        out.put("at.index = 0;")
    out.put("[[fallthrough]];")
    out.depth -= 1
    out.put(f"case {step}:")
    out.depth += 1
    with out.block(head):
        pauses = field.struct and field.struct.pauses()
        if pauses:
            out.put(f"bool ended = !{spent} && {call};")
        with out.block("if (!ended)" if pauses else f"if ({spent})"):
            out.put(f"return codec_pause(walk, {struct.level}, {step}, at.index);")
        yield pauses
        cost = "CODEC_SCALAR" if field.kind in SCALARS else "CODEC_STRUCT"
        out.put(f"codec_spend(walk, {cost});")


def put_decode_steps(out, message, struct):
    before, behind = runs(struct)
    with steps(out, struct):
        out.put(f"{struct.c_name}_init({struct.name});")
        for step, (fields, array) in enumerate(before, 1):
            put_decode_plain(out, message, struct, fields)
            place = f"{struct.name}->{array.name}"
            put_decode_count(out, message, array, place, "cursor", struct.versions)
            with items(out, struct, step, array,
                       f"for (; at.index < {place}_count && !cursor->failed; at.index++)",
                       "codec_decode_is_spent(walk)",
                       decode_call(array, f"{place}[at.index]", "cursor", ", walk")) as pauses:
                if not pauses:
                    put_decode_item(out, message, array, f"{place}[at.index]", "cursor")
    put_decode_plain(out, message, struct, behind)


def put_decode_plain(out, message, struct, fields):
    for field in fields:
        put_decode_field(out, message, field, f"{struct.name}->{field.name}", "cursor",
                         struct.versions)


def put_bytes_min(out, message, struct):
    """The table of the fewest bytes, where an array of these has to ask for the version."""
    sizes = {v: max(bytes_min(message, struct, v), 1) for v in sorted(struct.versions)}
    is_item = any(field.is_array and field.struct is struct
                  for parent in message.structs.values() for field in parent.fields)
    if not is_item or len(set(sizes.values())) == 1:
        return
    parts, previous = [], None
    for version, size in sizes.items():
        parts.append(f"{size}" if size == previous else f"[{version}] = {size}")
        previous = size
    out.put("/* The fewest bytes one takes, by version. */")
    out.put(f"static const uint8_t {struct.c_name}_bytes_min[] = {{")
    out.put("    " + ", ".join(parts) + "};")
    out.put()


def put_decode_fields(out, message, struct):
    put_bytes_min(out, message, struct)
    result, walk = ("bool", ", struct codec_walk *walk") if struct.pauses() else ("void", "")
    with out.function(f"static {result} {struct.c_name}_decode_fields("
                      f"struct {struct.c_name} *{struct.name}, struct cursor *cursor, "
                      f"int16_t version, struct arena *arena{walk})"):
        if struct.pauses():
            put_decode_steps(out, message, struct)
        else:
            out.put(f"{struct.c_name}_init({struct.name});")
            put_decode_plain(out, message, struct, struct.untagged())
        flexible = struct.versions & message.flexible
        if flexible and struct.tagged():
            put_decode_tags(out, message, struct, flexible)
        elif flexible:
            with out.block(only(flexible, struct.versions)):
                out.put("cursor_skip_tags(cursor);")
        if struct.pauses():
            out.put("return true;")


def put_decode_tags(out, message, struct, flexible):
    if flexible != struct.versions:
        with out.block(only(struct.versions - flexible, struct.versions)):
            out.put("return true;" if struct.pauses() else "return;")
    out.put("struct cursor_tags tags = cursor_tags(cursor);")
    with out.block("while (cursor_tags_next(cursor, &tags))"):
        other = ""
        for field in struct.tagged():
            later = condition(field.versions, flexible)
            test = f"tags.tag == {field.tag}" + (f" && {later}" if later else "")
            out.put(f"{other}if ({test}) {{")
            out.depth += 1
            put_decode_field(out, message, field, f"{struct.name}->{field.name}", "&tags.value",
                             field.versions)
            out.depth -= 1
            other = "} else "
        out.put("} else {")
        out.put("    cursor_skip(&tags.value);")
        out.put("}")


def put_decode(out, message):
    refused = f"version < {min(message.versions)} || version > {max(message.versions)}"
    with out.function(slice_prototype(message, "decode")):
        with out.block(f"if ({refused})"):
            out.put("cursor_fail(cursor);")
            out.put("return true;")
        if message.pauses():
            out.put(f"return {message.c_name}_decode_fields(message, cursor, version, arena, "
                    "walk);")
        else:
            out.put(f"{message.c_name}_decode_fields(message, cursor, version, arena);")
            out.put("return true;")
    with out.function(decode_prototype(message)):
        walk = "NULL"
        if message.pauses():
            out.put("struct codec_walk walk = CODEC_STRAIGHT;")
            walk = "&walk"
        out.put(f"(void){message.c_name}_decode_slice({message.name}, cursor, version, arena, "
                f"{walk});")
        out.put("return !cursor->failed;")


# --- Encoding ---------------------------------------------------------------------------------


def write_item(message, field, version, place):
    """The C statement that writes one scalar or view."""
    if field.kind in SCALARS:
        return f"writer_{field.kind}(writer, {place});"
    if field.kind == "records":
        compact = "compact_" if field.is_compact(message, version) else ""
        return f"codec_write_{compact}records(writer, {place});"
    return f"writer_{item_form(message, field, version, field.kind)}(writer, {place});"


def put_encode_field(out, message, field, place, among):
    if field.is_array:
        put_encode_count(out, message, field, place, among)
        out.put(f"assert({place}_count <= CODEC_FEW_MAX);")
        with (out.block(only(field.versions, among)),
              out.block(f"for (int32_t i = 0; i < {place}_count; i++)")):
            put_encode_item(out, message, field, f"{place}[i]")
    elif is_pointer(field):
        with out.block(only(field.versions, among)):
            out.put(f"writer_int8(writer, {place} ? 1 : -1);")
            with out.block(f"if ({place})"):
                out.put(f"{field.struct.c_name}_encode_fields({place}, writer, version);")
    elif field.struct:
        with out.block(only(field.versions, among)):
            out.put(f"{field.struct.c_name}_encode_fields(&{place}, writer, version);")
    else:
        put_by_version(out, field.versions, among, lambda version: (
            write_item(message, field, version, place)))


def put_encode_count(out, message, field, place, among):
    put_by_version(out, field.versions, among, lambda version: (
        f"writer_{form(message, field, version, 'count')}(writer, {place}_count);"))


def encode_call(field, item, walk=""):
    return (f"{field.struct.c_name}_encode_fields(&{item}, writer, version{walk})"
            if field.struct else None)


def put_encode_item(out, message, field, item):
    if field.struct:
        out.put(f"{encode_call(field, item)};")
    else:
        put_by_version(out, field.versions, field.versions, lambda version: (
            write_item(message, field, version, item)))


def put_encode_steps(out, message, struct):
    before, behind = runs(struct)
    with steps(out, struct):
        for step, (fields, array) in enumerate(before, 1):
            put_encode_plain(out, message, struct, fields)
            place = f"{struct.name}->{array.name}"
            put_encode_count(out, message, array, place, struct.versions)
            there = condition(array.versions, struct.versions)
            with items(out, struct, step, array,
                       f"for (; {f'{there} && ' if there else ''}at.index < {place}_count; "
                       "at.index++)",
                       "codec_encode_is_spent(walk, writer)",
                       encode_call(array, f"{place}[at.index]", ", walk")) as pauses:
                if not pauses:
                    put_encode_item(out, message, array, f"{place}[at.index]")
    put_encode_plain(out, message, struct, behind)


def put_encode_plain(out, message, struct, fields):
    for field in fields:
        put_encode_field(out, message, field, f"{struct.name}->{field.name}", struct.versions)


def put_is_default(out, struct):
    name = struct.name
    with out.function(f"static bool {struct.c_name}_is_default("
                      f"const struct {struct.c_name} *{name})"):
        tests = [compared(field, f"{name}->{field.name}")[0] for field in struct.fields]
        out.put("return " + " &&\n           ".join(tests) + ";")


def encode_prototype_of(struct, verb):
    return (f"static void {struct.c_name}_{verb}(const struct {struct.c_name} *{struct.name}, "
            "struct writer *writer, int16_t version)")


def is_measured(field):
    """A tagged value whose size has to be found out."""
    return field.is_array or field.kind not in SCALARS


def put_encode_fields(out, message, struct):
    if struct.in_tag:
        put_is_default(out, struct)
    flexible = struct.versions & message.flexible
    for field in struct.tagged():
        if is_measured(field):
            with out.function(encode_prototype_of(struct, f"encode_{field.name}")):
                put_encode_field(out, message, field, f"{struct.name}->{field.name}",
                                 field.versions)
    if struct.tagged():
        with out.function(encode_prototype_of(struct, "encode_tags")):
            put_encode_tags(out, message, struct, flexible)
    prototype = encode_prototype_of(struct, "encode_fields")
    if struct.pauses():
        prototype = prototype.replace("static void", "static bool", 1)
        prototype = prototype.removesuffix(")") + ", struct codec_walk *walk)"
    with out.function(prototype):
        if struct.pauses():
            put_encode_steps(out, message, struct)
        else:
            put_encode_plain(out, message, struct, struct.untagged())
        if flexible:
            line = "writer_uvarint32(writer, 0); /* no tagged fields */"
            if struct.tagged():
                line = f"{struct.c_name}_encode_tags({struct.name}, writer, version);"
            with out.block(only(flexible, struct.versions)):
                out.put(line)
        if struct.pauses():
            out.put("return true;")


def put_encode_tags(out, message, struct, flexible):
    fields = struct.tagged()
    for field in fields:
        test = condition(field.versions, flexible)
        present = compared(field, f"{struct.name}->{field.name}")[1]
        out.put(f"bool has_{field.name} = {f'{test} && ' if test else ''}{present};")
    out.put("uint32_t count = 0;")
    for field in fields:
        out.put(f"count += has_{field.name};")
    out.put("writer_uvarint32(writer, count);")
    if any(is_measured(field) for field in fields):
        out.put("struct writer measure;")
    for field in fields:
        with out.block(f"if (has_{field.name})"):
            out.put(f"writer_uvarint32(writer, {field.tag});")
            if is_measured(field):
                call = f"{struct.c_name}_encode_{field.name}({struct.name}"
                out.put("writer_init_measure(&measure);")
                out.put(f"{call}, &measure, version);")
                out.put("writer_uvarint32(writer, (uint32_t)writer_position(&measure));")
                out.put(f"{call}, writer, version);")
            else:
                out.put(f"writer_uvarint32(writer, {SCALARS[field.kind][1]});")
                out.put(write_item(message, field, 0, f"{struct.name}->{field.name}"))


def put_encode(out, message):
    with out.function(slice_prototype(message, "encode")):
        out.put(f"assert(version >= {min(message.versions)} "
                f"&& version <= {max(message.versions)});")
        if message.pauses():
            out.put(f"return {message.c_name}_encode_fields(message, writer, version, walk);")
        else:
            out.put(f"{message.c_name}_encode_fields(message, writer, version);")
            out.put("return true;")
    with out.function(encode_prototype(message)):
        walk = "NULL"
        if message.pauses():
            out.put("struct codec_walk walk = CODEC_STRAIGHT;")
            walk = "&walk"
        out.put(f"(void){message.c_name}_encode_slice({message.name}, writer, version, {walk});")


def source(schema, out_name):
    out = Out()
    out.put(generated_notice(schema))
    out.put(f'#include "net/codec/{out_name}.h"')
    out.put()
    out.put("#include <assert.h>")
    out.put()
    for message in schema.messages:
        for struct in message.structs.values():
            put_decode_fields(out, message, struct)
        put_decode(out, message)
        for struct in message.structs.values():
            put_encode_fields(out, message, struct)
        put_encode(out, message)
    return out.text()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def main():
    schema_path, out_path = sys.argv[1:]
    schema = Schema(schema_path)
    out_name = os.path.basename(out_path)
    os.makedirs(os.path.dirname(out_path), exist_ok=True)
    write(out_path + ".h", header(schema, out_name))
    write(out_path + ".c", source(schema, out_name))


if __name__ == "__main__":
    main()
