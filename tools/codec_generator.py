#!/usr/bin/env python3
"""codec_generator -- from a schema of net/schema/ to the C structs that hold its messages and the
functions that read and write them.

    codec_generator.py SCHEMA OUT       writes OUT.h and OUT.c

A schema names an API and its two messages, or single messages:

    api Produce  key 0  versions 3-13  flexible 9+      message TopicRecord  key 2  versions 0 ...

    request                                                 name        string
        topic_data      [topic]                             topic_id    uuid
            name        string      3-12
            topic_id    uuid        13+

    response ...

A field is a line: its name, its type, and then in any order
    3-12, 13+, 8    the versions that have it; otherwise all that its struct has
    = -1            its default; otherwise 0, false, empty
    tag 0           it is a tagged field
    null 10+        it may be null in these versions; `?` behind the type says in all
    inflexible      it keeps its old form in flexible versions
A type is a scalar, string, bytes, records, the name of a struct whose fields stand indented below,
or one of these in brackets: an array. A struct met again in its message needs no fields the second
time. What stands behind `#` on a field's line becomes its comment in the header.
"""

import os
import re
import sys

SCALARS = {  # wire type: (C type, bytes)
    "bool": ("bool", 1),
    "int8": ("int8_t", 1),
    "int16": ("int16_t", 2),
    "uint16": ("uint16_t", 2),
    "int32": ("int32_t", 4),
    "uint32": ("uint32_t", 4),
    "int64": ("int64_t", 8),
    "float64": ("double", 8),
    "uuid": ("struct uuid", 16),
}
VIEWS = {"string": "struct view", "bytes": "struct view", "records": "struct codec_records"}
INT_NAMED = {-(2**31): "INT32_MIN", 2**31 - 1: "INT32_MAX", 2**63 - 1: "INT64_MAX"}
VERSIONS = re.compile(r"^\d+(-\d+|\+)?$")


# --- The schema: Message > Struct > Field -----------------------------------------------------


class SchemaError(Exception):
    pass


class Struct:
    """Named fields; versions are those in which some field holds one."""

    def __init__(self, name, c_name, versions):
        self.name = name
        self.c_name = c_name
        self.versions = versions
        self.fields = []
        self.in_tag = False  # part of a tagged field: compared with its default

    def tagged(self):
        return sorted((f for f in self.fields if f.tag is not None), key=lambda f: f.tag)

    def untagged(self):
        return [f for f in self.fields if f.tag is None]


class Message(Struct):
    def __init__(self, name, key, versions, flexible):
        super().__init__(name.rsplit("_", 1)[-1], name, versions)
        self.key = key
        self.flexible = flexible  # the set of flexible versions
        self.structs = {}  # by name, children before parents, itself last


class Field:
    def __init__(self, name, kind, is_array):
        self.name = name
        self.kind = kind  # of one item: a scalar, a view, or a struct's name
        self.is_array = is_array
        self.struct = None
        self.versions = set()
        self.nullable = set()
        self.default = None
        self.tag = None
        self.inflexible = False
        self.comment = ""

    def is_compact(self, message, version):
        return version in message.flexible and not self.inflexible


def snake(name):
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name.replace("KRaft", "Kraft")).lower()


def parse_versions(text, among):
    """3-12, 13+ or 8, of those that there are."""
    low, sign, high = re.match(r"(\d+)([-+]?)(\d*)", text).groups()
    last = max(among) if sign == "+" else int(high or low)
    return {v for v in range(int(low), last + 1) if v in among}


def parse_head(words, name, default=None):
    """The `key`, `versions` and `flexible` of an api or message line."""
    given = dict(zip(words[::2], words[1::2]))
    if default and not given:
        return default.key, default.versions, default.flexible
    versions = parse_versions(given["versions"], range(1000) if "-" in given["versions"]
                              else [int(given["versions"])])
    flexible = given.get("flexible", "none")
    key = int(given["key"]) if "key" in given else None
    return key, versions, parse_versions(flexible, versions) if flexible != "none" else set()


class Schema:
    def __init__(self, path):
        self.path = path
        self.api = None
        self.messages = []
        self.parents = []  # (indent, struct) of the lines above that can have fields
        with open(path) as lines:
            for number, line in enumerate(lines, 1):
                try:
                    self.parse_line(line)
                except (SchemaError, ValueError, KeyError, AttributeError) as error:
                    sys.exit(f"{path}:{number}: {error}")
        for message in self.messages:
            check(message)

    def parse_line(self, line):
        text, _, comment = line.partition("#")
        words = text.split()
        if not words:
            return
        indent = len(text) - len(text.lstrip())
        if indent == 0:
            self.parse_top(words)
        else:
            self.parse_field(indent, words, comment.strip())

    def parse_top(self, words):
        if words[0] == "api":
            key, versions, flexible = parse_head(words[2:], words[1])
            self.api = Message(snake(words[1]), key, versions, flexible)
            return
        if words[0] == "message":
            message = Message(snake(words[1]), *parse_head(words[2:], words[1]))
        elif words[0] in ("request", "response") and self.api:
            message = Message(f"{self.api.c_name}_{words[0]}",
                              *parse_head(words[1:], words[0], self.api))
        else:
            raise SchemaError(f"what is a '{words[0]}'?")
        self.messages.append(message)
        self.parents = [(0, message)]

    def parse_field(self, indent, words, comment):
        while self.parents[-1][0] >= indent:
            self.parents.pop()
        message, parent = self.messages[-1], self.parents[-1][1]
        kind = re.match(r"^(\[)?(\w+)\]?(\?)?$", words[1])
        field = Field(words[0], kind[2], bool(kind[1]))
        field.versions = set(parent.versions)
        field.comment = comment
        nullable = f"{min(parent.versions)}+" if kind[3] else None
        rest = iter(words[2:])
        for word in rest:
            if VERSIONS.match(word):
                field.versions = parse_versions(word, parent.versions)
            elif word == "=":
                field.default = next(rest)
            elif word == "tag":
                field.tag = int(next(rest))
            elif word == "null":
                nullable = next(rest)
            elif word == "inflexible":
                field.inflexible = True
            else:
                raise SchemaError(f"what is '{word}'?")
        if nullable:
            field.nullable = parse_versions(nullable, field.versions)
        if field.kind not in SCALARS and field.kind not in VIEWS:
            struct = message.structs.setdefault(
                field.kind, Struct(field.kind, f"{message.c_name}_{field.kind}", set()))
            struct.versions |= field.versions
            struct.in_tag = struct.in_tag or (field.tag is not None and not field.is_array)
            field.struct = struct
            self.parents.append((indent, struct))
        parent.fields.append(field)


def check(message):
    """What the generator relies on; then put the structs in order, children first."""
    for struct in [message, *message.structs.values()]:
        if len({f.name for f in struct.fields}) != len(struct.fields):
            raise SchemaError(f"{struct.c_name} has a field twice")
        for field in struct.tagged():
            if not field.versions <= message.flexible:
                raise SchemaError(f"{field.name} is tagged in an inflexible version")
        if struct is not message and not struct.fields:
            raise SchemaError(f"{struct.c_name} has no fields: a scalar misspelled?")
    ordered = {}

    def visit(struct):
        for field in struct.fields:
            if field.struct and field.struct.name not in ordered:
                visit(field.struct)
        ordered[struct.name] = struct

    visit(message)
    ordered.pop(message.name)
    message.structs = ordered
    message.structs[message.name] = message


# --- Emitting C -------------------------------------------------------------------------------


def wrap(line, lead=""):
    """A line within 100 columns, broken at the commas of its outermost parentheses."""
    if len(lead + line) <= 100 or "(" not in line:
        return [lead + line]
    open_at = line.index("(") + 1
    column = len(lead) + open_at
    parts = re.findall(r"[^,]+(?:, ?|$)", line[open_at:])
    if column + max(len(part.rstrip()) for part in parts) > 100:
        lines, current, column = [lead + line[:open_at]], "", len(lead) + 8
    else:
        lines, current = [], lead + line[:open_at]
    for part in parts:
        start = " " * column if not current else ""
        if current and len(current + part.rstrip()) > 100:
            lines.append(current.rstrip())
            current, start = "", " " * column
        current += start + part
    return [*lines, current]


class Out:
    def __init__(self):
        self.lines = []
        self.last_if = None  # (test, depth, line count after it) of the `if` put last

    def put(self, text, depth=0):
        self.lines.extend(wrap(text, "    " * depth) if text else [""])

    def put_if(self, test, lines, depth):
        """An `if` with no else; one that asks the same as the one just before joins it."""
        if not test:
            for line in lines:
                self.put(line, depth)
            return
        if self.last_if == (test, depth, len(self.lines)):
            self.lines.pop()
        else:
            self.put(f"if ({test}) {{", depth)
        for line in lines:
            self.put(line, depth + 1)
        self.put("}", depth)
        self.last_if = (test, depth, len(self.lines))

    def text(self):
        return "\n".join(self.lines) + "\n"


def has_tags(message, struct):
    return bool(struct.versions & message.flexible)


def condition(versions, among):
    """A C condition that holds for `versions`, given that the version is one of `among`."""
    low, high = min(versions), max(versions)
    if len(versions) != high - low + 1:
        raise SchemaError(f"versions with a gap: {sorted(versions)}")
    parts = []
    if low == high and min(among) < low < max(among):
        return f"version == {low}"
    if low > min(among):
        parts.append(f"version >= {low}")
    if high < max(among):
        parts.append(f"version <= {high}")
    return " && ".join(parts)


def put_by_version(out, depth, versions, among, line_of):
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
        out.put_if(condition(versions, among), [runs[0][1]], depth)
        return
    left = set(among)
    for index, (run, line) in enumerate(runs):
        test = condition(run, left)
        if index == 0:
            out.put(f"if ({test}) {{", depth)
        else:
            out.put(f"}} else if ({test}) {{" if test else "} else {", depth)
        out.put(line, depth + 1)
        left -= run
    out.put("}", depth)


def form(message, field, version, kind):
    """The suffix that names how a string, an array, ... stands in this version."""
    compact = "compact_" if field.is_compact(message, version) else ""
    return compact + kind


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
    compact = field.is_compact(message, version)
    if field.is_array or field.kind in ("bytes", "records"):
        return 1 if compact else 4
    return item_bytes_min(message, field, version)


def item_bytes_min(message, field, version):
    if field.kind in SCALARS:
        return SCALARS[field.kind][1]
    if field.kind in VIEWS:
        return 1 if field.is_compact(message, version) else (2 if field.kind == "string" else 4)
    if not field.is_array and field.nullable:
        return 1
    return max(bytes_min(message, field.struct, version), 1)


def c_type(field):
    if field.struct:
        return f"struct {field.struct.c_name}"
    return SCALARS[field.kind][0] if field.kind in SCALARS else VIEWS[field.kind]


def is_pointer(field):
    """A struct that may be null is kept elsewhere."""
    return bool(field.struct and not field.is_array and field.nullable)


def declare(left, name):
    return f"{left} {name}" if not left.endswith("*") else f"{left}{name}"


def default_of(field):
    """The initialiser of a field whose default is not all zeros, else None."""
    if field.is_array:
        return "-1" if field.default == "null" else None
    if field.struct:
        if is_pointer(field):
            return None
        inner = initialiser(field.struct)
        return f"{{{inner}}}" if inner else None
    if field.kind in VIEWS:
        null = "RECORDS_NULL" if field.kind == "records" else "VIEW_NULL"
        return null if field.default == "null" else None
    if field.default in (None, "false", "0"):
        return None
    if field.default == "true":
        return "true"
    return INT_NAMED.get(int(field.default, 0), field.default)


def initialiser(struct):
    parts = []
    for field in struct.fields:
        value = default_of(field)
        if value:
            parts.append(f".{field.name}{'_count' if field.is_array else ''} = {value}")
    return ", ".join(parts)


def is_default(field, place):
    """A C condition: this field needs no place among the tagged fields."""
    if field.is_array:
        return f"{place}_count {'< 0' if field.default == 'null' else '<= 0'}"
    if is_pointer(field):
        return f"!{place}"
    if field.struct:
        return f"{field.struct.c_name}_is_default(&{place})"
    if field.kind in VIEWS:
        return f"{place}.bytes {'< 0' if field.default == 'null' else '== 0'}"
    if field.kind == "uuid":
        return f"uuid_is_zero(&{place})"
    if field.kind == "bool":
        return place if field.default == "true" else f"!{place}"
    return f"{place} == {default_of(field) or 0}"


# --- The header -------------------------------------------------------------------------------


def version_comment(struct, field):
    versions = sorted(field.versions)
    parts = []
    if field.versions != struct.versions:
        last = max(struct.versions)
        if versions[-1] == last and len(versions) > 1 or versions[-1] == last and last > 0:
            parts.append(f"{versions[0]}+")
        elif len(versions) == 1:
            parts.append(f"{versions[0]}")
        else:
            parts.append(f"{versions[0]}-{versions[-1]}")
    if field.nullable == field.versions:
        parts.append("or null")
    elif field.nullable:
        parts.append(f"or null {min(field.nullable)}+")
    text = " ".join(parts)
    if field.comment:
        text = f"{text}: {field.comment}" if text else field.comment
    return f" /* {text} */" if text else ""


def put_struct(out, struct):
    out.put(f"struct {struct.c_name} {{")
    for field in struct.fields:
        comment = version_comment(struct, field)
        if field.is_array:
            out.put(f"int32_t {field.name}_count;{comment}", 1)
            out.put(f"{c_type(field)} *{field.name};", 1)
        else:
            star = "*" if is_pointer(field) else ""
            out.put(f"{c_type(field)} {star}{field.name};{comment}", 1)
    if not struct.fields:
        out.put("char nothing; /* C has no empty structs */", 1)
    out.put("};")
    out.put("")
    out.put(f"static inline void {struct.c_name}_init(struct {struct.c_name} *{struct.name})")
    out.put("{")
    inner = initialiser(struct) or "0"
    line = f"    *{struct.name} = (struct {struct.c_name}){{{inner}}};"
    if len(line) <= 100:
        out.put(line)
    else:
        out.put(f"    *{struct.name} = (struct {struct.c_name}){{")
        for part in re.split(r", (?=\.)(?![^{]*})", inner):
            out.put(f"{part},", 2)
        out.put("};", 1)
    out.put("}")
    out.put("")


def put_constants(out, prefix, message):
    flexible = min(message.flexible) if message.flexible else "INT16_MAX /* none */"
    out.put("enum {")
    if message.key is not None:
        out.put(f"{prefix}_KEY = {message.key},", 1)
    out.put(f"{prefix}_VERSION_MIN = {min(message.versions)},", 1)
    out.put(f"{prefix}_VERSION_MAX = {max(message.versions)},", 1)
    out.put(f"{prefix}_FLEXIBLE_MIN = {flexible},", 1)
    out.put("};")
    out.put("")


def decode_prototype(message):
    name = message.c_name
    return (f"bool {name}_decode(struct {name} *{message.name}, struct cursor *cursor, "
            "int16_t version, struct arena *arena)")


def encode_prototype(message):
    name = message.c_name
    return (f"void {name}_encode(const struct {name} *{message.name}, struct writer *writer, "
            "int16_t version)")


def generated_notice(schema):
    return f"/* Generated from net/schema/{os.path.basename(schema.path)}; change that instead. */"


def header(schema, out_name):
    out = Out()
    guard = f"NET_CODEC_{out_name.upper()}_H"
    out.put(generated_notice(schema))
    out.put(f"#ifndef {guard}")
    out.put(f"#define {guard}")
    out.put("")
    out.put('#include "net/codec.h"')
    out.put("")
    if schema.api:
        put_constants(out, schema.api.c_name.upper(), schema.api)
    for message in schema.messages:
        if not schema.api:
            put_constants(out, message.c_name.upper(), message)
        for struct in message.structs.values():
            put_struct(out, struct)
        out.put("[[nodiscard]] " + decode_prototype(message) + ";")
        out.put(encode_prototype(message) + ";")
        out.put("")
    out.put("#endif")
    return out.text()


# --- Decoding ---------------------------------------------------------------------------------


def read_item(message, field, version):
    """The C expression that reads one scalar or view."""
    if field.kind in SCALARS:
        return f"cursor_{field.kind}(cursor)"
    kind = "bytes" if field.kind == "records" else field.kind
    null = "" if field.is_array else or_null(field, version)
    read = f"cursor_{form(message, field, version, kind)}{null}(cursor)"
    return f"codec_records({read})" if field.kind == "records" else read


def put_decode_value(out, depth, message, struct, field, place, cursor, versions, among):
    """Read a field into `place`; the version is one of `among`, the field stands in `versions`."""

    def using(line):
        return line.replace("(cursor", f"({cursor}") if cursor != "cursor" else line

    if field.is_array:
        put_decode_array(out, depth, message, struct, field, place, using, cursor, versions, among)
    elif is_pointer(field):
        put_decode_nullable_struct(out, depth, message, field, place, using, cursor, versions,
                                   among)
    elif field.struct:
        call = f"{field.struct.c_name}_decode_fields(&{place}, cursor, version, arena);"
        put_by_version(out, depth, versions, among,
                       lambda v: call.replace(", cursor,", f", {cursor},"))
    else:
        put_by_version(out, depth, versions, among,
                       lambda v: using(f"{place} = {read_item(message, field, v)};"))


def put_decode_array(out, depth, message, struct, field, place, using, cursor, versions, among):
    def size(version):
        if not field.struct:
            return item_bytes_min(message, field, version)
        sizes = {item_bytes_min(message, field, v) for v in versions}
        return sizes.pop() if len(sizes) == 1 else f"{field.struct.c_name}_bytes_min[version]"

    def count(version):
        call = f"cursor_{form(message, field, version, 'count')}{or_null(field, version)}"
        return using(f"{place}_count = {call}(cursor, {size(version)});")

    put_by_version(out, depth, versions, among, count)
    out.put(f"{place} = codec_take_items({cursor}, arena, &{place}_count, sizeof *{place});",
            depth)
    stop = f" && !{cursor.lstrip('&')}{'.' if cursor.startswith('&') else '->'}failed"
    out.put(f"for (int32_t i = 0; i < {place}_count{stop if field.struct else ''}; i++) {{", depth)
    if field.struct:
        out.put(f"{field.struct.c_name}_decode_fields(&{place}[i], {cursor}, version, arena);",
                depth + 1)
    else:
        put_by_version(out, depth + 1, versions, versions,
                       lambda v: using(f"{place}[i] = {read_item(message, field, v)};"))
    out.put("}", depth)


def put_decode_nullable_struct(out, depth, message, field, place, using, cursor, versions, among):
    if field.nullable != field.versions:
        raise SchemaError(f"{field.name}: a struct is nullable in all its versions or in none")
    test = condition(versions, among)
    if test:
        out.put(f"if ({test}) {{", depth)
        depth += 1
    out.put(f"{place} = codec_take_nullable({cursor}, arena, sizeof *{place});", depth)
    out.put(f"if ({place}) {{", depth)
    out.put(f"{field.struct.c_name}_decode_fields({place}, {cursor}, version, arena);", depth + 1)
    out.put("}", depth)
    if test:
        out.put("}", depth - 1)


def put_bytes_min(out, message, struct):
    sizes = {v: max(bytes_min(message, struct, v), 1) for v in sorted(struct.versions)}
    used = any(f.is_array and f.struct is struct
               for s in message.structs.values() for f in s.fields)
    if not used or len(set(sizes.values())) == 1:
        return
    parts, previous = [], None
    for version, size in sizes.items():
        parts.append(f"[{version}] = {size}" if size != previous else f"{size}")
        previous = size
    out.put("/* The fewest bytes one takes, by version. */")
    line = f"static const uint8_t {struct.c_name}_bytes_min[] = {{"
    rest = ", ".join(parts) + "};"
    if len(line) + len(rest) <= 100:
        out.put(line + rest)
    else:
        out.put(line)
        out.put(rest, 1)
    out.put("")


def put_decode_fields(out, message, struct):
    put_bytes_min(out, message, struct)
    name = struct.name
    out.put(f"static void {struct.c_name}_decode_fields(struct {struct.c_name} *{name}, "
            "struct cursor *cursor, int16_t version, struct arena *arena)")
    out.put("{")
    out.put(f"{struct.c_name}_init({name});", 1)
    for field in struct.untagged():
        put_decode_value(out, 1, message, struct, field, f"{name}->{field.name}", "cursor",
                         field.versions, struct.versions)
    if has_tags(message, struct):
        put_decode_tags(out, message, struct)
    out.put("}")
    out.put("")


def put_decode_tags(out, message, struct):
    flexible = struct.versions & message.flexible
    test = condition(flexible, struct.versions)
    if not struct.tagged():
        out.put_if(test, ["cursor_skip_tags(cursor);"], 1)
        return
    if test:
        out.put(f"if ({condition(struct.versions - flexible, struct.versions)}) {{", 1)
        out.put("return;", 2)
        out.put("}", 1)
    out.put("struct cursor_tags tags = cursor_tags(cursor);", 1)
    out.put("while (cursor_tags_next(cursor, &tags)) {", 1)
    for index, field in enumerate(struct.tagged()):
        tests = [f"tags.tag == {field.tag}"]
        later = condition(field.versions, flexible)
        if later:
            tests.append(later)
        out.put(f"{'} else if' if index else 'if'} ({' && '.join(tests)}) {{", 2)
        put_decode_value(out, 3, message, struct, field, f"{struct.name}->{field.name}",
                         "&tags.value", field.versions, field.versions)
    out.put("} else {", 2)
    out.put("cursor_skip(&tags.value);", 3)
    out.put("}", 2)
    out.put("}", 1)


def put_decode(out, message):
    low, high = min(message.versions), max(message.versions)
    out.put(decode_prototype(message))
    out.put("{")
    out.put(f"if (version < {low} || version > {high}) {{", 1)
    out.put("return false;", 2)
    out.put("}", 1)
    out.put(f"{message.c_name}_decode_fields({message.name}, cursor, version, arena);", 1)
    out.put("return !cursor->failed;", 1)
    out.put("}")
    out.put("")


# --- Encoding ---------------------------------------------------------------------------------


def write_item(message, field, version, place):
    """The C statement that writes one scalar or view."""
    if field.kind in SCALARS:
        return f"writer_{field.kind}(writer, {place});"
    if field.kind == "records":
        return f"codec_write_{form(message, field, version, 'records')}(writer, {place});"
    null = "" if field.is_array else or_null(field, version)
    return f"writer_{form(message, field, version, field.kind)}{null}(writer, {place});"


def put_encode_value(out, depth, message, field, place, versions, among):
    if field.is_array:
        put_by_version(out, depth, versions, among, lambda v: (
            f"writer_{form(message, field, v, 'count')}{or_null(field, v)}"
            f"(writer, {place}_count);"))
        test = condition(versions, among)
        if test:
            out.put(f"if ({test}) {{", depth)
        inner = depth + 1 if test else depth
        out.put(f"for (int32_t i = 0; i < {place}_count; i++) {{", inner)
        if field.struct:
            out.put(f"{field.struct.c_name}_encode_fields(&{place}[i], writer, version);",
                    inner + 1)
        else:
            put_by_version(out, inner + 1, versions, versions,
                           lambda v: write_item(message, field, v, f"{place}[i]"))
        out.put("}", inner)
        if test:
            out.put("}", depth)
    elif is_pointer(field):
        test = condition(versions, among)
        if test:
            out.put(f"if ({test}) {{", depth)
        inner = depth + 1 if test else depth
        out.put(f"writer_int8(writer, {place} ? 1 : -1);", inner)
        out.put(f"if ({place}) {{", inner)
        out.put(f"{field.struct.c_name}_encode_fields({place}, writer, version);", inner + 1)
        out.put("}", inner)
        if test:
            out.put("}", depth)
    elif field.struct:
        call = f"{field.struct.c_name}_encode_fields(&{place}, writer, version);"
        put_by_version(out, depth, versions, among, lambda v: call)
    else:
        put_by_version(out, depth, versions, among,
                       lambda v: write_item(message, field, v, place))


def put_is_default(out, struct):
    name = struct.name
    out.put(f"static bool {struct.c_name}_is_default(const struct {struct.c_name} *{name})")
    out.put("{")
    tests = [is_default(f, f"{name}->{f.name}") for f in struct.fields]
    out.put("return " + " &&\n           ".join(tests) + ";", 1)
    out.put("}")
    out.put("")


def encode_fields_prototype(struct, suffix):
    return (f"static void {struct.c_name}_{suffix}(const struct {struct.c_name} *{struct.name}, "
            "struct writer *writer, int16_t version)")


def put_encode_fields(out, message, struct):
    if struct.in_tag:
        put_is_default(out, struct)
    flexible = struct.versions & message.flexible
    for field in struct.tagged():
        if is_measured(field):
            out.put(encode_fields_prototype(struct, f"encode_{field.name}"))
            out.put("{")
            put_encode_value(out, 1, message, field, f"{struct.name}->{field.name}",
                             field.versions, field.versions)
            out.put("}")
            out.put("")
    if struct.tagged():
        out.put(encode_fields_prototype(struct, "encode_tags"))
        out.put("{")
        put_encode_tags(out, message, struct, flexible)
        out.put("}")
        out.put("")
    out.put(encode_fields_prototype(struct, "encode_fields"))
    out.put("{")
    for field in struct.untagged():
        put_encode_value(out, 1, message, field, f"{struct.name}->{field.name}", field.versions,
                         struct.versions)
    if flexible:
        line = "writer_uvarint32(writer, 0); /* no tagged fields */"
        if struct.tagged():
            line = f"{struct.c_name}_encode_tags({struct.name}, writer, version);"
        put_by_version(out, 1, flexible, struct.versions, lambda v: line)
    out.put("}")
    out.put("")


def is_measured(field):
    return field.is_array or field.kind not in SCALARS


def put_encode_tags(out, message, struct, flexible):
    for field in struct.tagged():
        test = condition(field.versions, flexible)
        absent = is_default(field, f"{struct.name}->{field.name}")
        if " == " in absent:
            present = absent.replace(" == ", " != ")
        elif absent.startswith("!"):
            present = absent[1:]
        elif " < " in absent or " <= " in absent:
            present = absent.replace(" <= ", " > ").replace(" < ", " >= ")
        else:
            present = f"!{absent}"
        out.put(f"bool has_{field.name} = {f'{test} && ' if test else ''}{present};", 1)
    has = [f"has_{field.name}" for field in struct.tagged()]
    out.put(f"uint32_t fields = 0u + {has[0]};", 1)
    for name in has[1:]:
        out.put(f"fields += {name};", 1)
    out.put("writer_uvarint32(writer, fields);", 1)
    if any(is_measured(f) for f in struct.tagged()):
        out.put("struct writer measure;", 1)
    for field in struct.tagged():
        place = f"{struct.name}->{field.name}"
        out.put(f"if (has_{field.name}) {{", 1)
        out.put(f"writer_uvarint32(writer, {field.tag});", 2)
        if is_measured(field):
            call = f"{struct.c_name}_encode_{field.name}({struct.name}, "
            out.put("writer_init_measure(&measure);", 2)
            out.put(f"{call}&measure, version);", 2)
            out.put("writer_uvarint32(writer, (uint32_t)writer_position(&measure));", 2)
            out.put(f"{call}writer, version);", 2)
        else:
            out.put(f"writer_uvarint32(writer, {SCALARS[field.kind][1]});", 2)
            out.put(write_item(message, field, 0, place), 2)
        out.put("}", 1)


def put_encode(out, message):
    low, high = min(message.versions), max(message.versions)
    out.put(encode_prototype(message))
    out.put("{")
    out.put(f"assert(version >= {low} && version <= {high});", 1)
    out.put(f"{message.c_name}_encode_fields({message.name}, writer, version);", 1)
    out.put("}")
    out.put("")


def source(schema, out_name):
    out = Out()
    out.put(generated_notice(schema))
    out.put(f'#include "net/codec/{out_name}.h"')
    out.put("")
    out.put("#include <assert.h>")
    out.put("")
    for message in schema.messages:
        for struct in message.structs.values():
            put_decode_fields(out, message, struct)
        put_decode(out, message)
        for struct in message.structs.values():
            put_encode_fields(out, message, struct)
        put_encode(out, message)
    return out.text().rstrip("\n") + "\n"


def write(path, text):
    with open(path, "w") as file:
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
