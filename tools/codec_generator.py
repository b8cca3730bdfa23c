#!/usr/bin/env python3
"""codec_generator -- from a schema of net/schema/ to the C structs that hold its messages and the
functions that read and write them.

    codec_generator.py SCHEMA OUT       writes OUT.h and OUT.c

A schema names an API and its two messages, or single messages:

    api Produce  key 0  versions 3-13  flexible 9+     message TopicRecord  key 2  versions 0
                                                           name        string
    request                                                topic_id    uuid
        topic_data    [topic]
            name      string   3-12
            topic_id  uuid     13+

    response ...

A field is a line: its name, its type, and then in any order
    3-12, 13+, 8    the versions that have it; otherwise all that its struct has
    = -1            its default; otherwise 0, false, empty
    tag 0           it is a tagged field
    null 10+        it may be null in these versions; `?` behind the type says in all
    inflexible      it keeps its old form in flexible versions
A type is a scalar, string, bytes, records, the name of a struct whose fields stand indented below,
or one of these in brackets: an array. A struct met again in its message has no fields there. What
stands behind `#` on a field's line becomes its comment in the header.
"""

import contextlib
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
RESERVED = ("cursor", "writer", "arena", "version", "tags", "measure", "count", "fill")
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
        """Whether lengths stand in their compact form."""
        return version in message.flexible and not self.inflexible


def snake(name):
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name.replace("KRaft", "Kraft")).lower()


def parse_versions(text, among):
    """3-12, 13+ or 8, of those that there are."""
    low, sign, high = re.match(r"(\d+)([-+]?)(\d*)", text).groups()
    last = max(among) if sign == "+" else int(high or low)
    return {v for v in range(int(low), last + 1) if v in among}


def parse_head(words):
    """The key (or None), the versions and the flexible ones of an api or message line."""
    given = dict(zip(words[::2], words[1::2]))
    if "versions" not in given or given.keys() - {"key", "versions", "flexible"}:
        raise SchemaError("[key N]  versions N-N  [flexible N+]")
    key = int(given["key"]) if "key" in given else None
    versions = parse_versions(given["versions"], range(1000))
    flexible = parse_versions(given["flexible"], versions) if "flexible" in given else set()
    return key, versions, flexible


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
            try:
                check(message)
            except SchemaError as error:
                sys.exit(f"{path}: {error}")

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
        api = self.api
        if words[0] == "api":
            self.api = Message(snake(words[1]), *parse_head(words[2:]))
            return
        if words[0] == "message":
            message = Message(snake(words[1]), *parse_head(words[2:]))
        elif words in (["request"], ["response"]) and api:
            message = Message(f"{api.c_name}_{words[0]}", api.key, api.versions, api.flexible)
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
            field.struct = message.structs.setdefault(
                field.kind, Struct(field.kind, f"{message.c_name}_{field.kind}", field.versions))
            if field.tag is not None and not field.is_array and not field.nullable:
                field.struct.in_tag = True
            self.parents.append((indent, field.struct))
        parent.fields.append(field)


def check(message):
    """What the generator relies on; then put the structs in order, children first."""
    for struct in [message, *message.structs.values()]:
        check_struct(message, struct)
        for field in struct.fields:
            check_field(message, struct, field)
    ordered = {}

    def visit(struct):
        for field in struct.fields:
            if field.struct and field.struct.name not in ordered:
                visit(field.struct)
        ordered[struct.name] = struct

    visit(message)
    message.structs = ordered


def check_struct(message, struct):
    names = [field.name for field in struct.fields]
    tags = [field.tag for field in struct.tagged()]
    if len(set(names)) < len(names) or len(set(tags)) < len(tags):
        raise SchemaError(f"{struct.c_name} has a field or a tag twice")
    if struct is message:
        return
    if not struct.fields:
        raise SchemaError(f"{struct.c_name} has no fields: a scalar misspelled?")
    if struct.name in RESERVED or struct.name == message.name:
        raise SchemaError(f"{struct.c_name} would be a parameter '{struct.name}' besides another")


def check_field(message, struct, field):
    if field.tag is not None and not field.versions <= message.flexible:
        raise SchemaError(f"{field.name} is tagged in an inflexible version")
    if field.struct and not field.versions <= field.struct.versions:
        raise SchemaError(f"{field.name} has versions that its struct had not where it first stood")
    if is_pointer(field) and field.nullable != field.versions:
        raise SchemaError(f"{field.name}: a struct may be null in all its versions or in none")


# --- Emitting C -------------------------------------------------------------------------------


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
    if " = " in line and " && " in line:
        left, right = line.split(" && ", 1)
        return [f"{lead}{left} &&", " " * (len(lead) + left.index(" = ") + 3) + right]
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


def is_pointer(field):
    """A struct that may be null is kept elsewhere."""
    return bool(field.struct and not field.is_array and field.nullable)


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
    sizes = {item_bytes_min(message, field, version) for version in field.versions}

    def count(version):
        size = item_bytes_min(message, field, version)
        if field.struct and len(sizes) > 1:
            size = f"{field.struct.c_name}_bytes_min[version]"
        return f"{place}_count = cursor_{form(message, field, version, 'count')}({cursor}, {size});"

    put_by_version(out, field.versions, among, count)
    # where the version has no such array, the count is 0 or -1 and nothing happens
    out.put(f"{place} = codec_take_items({cursor}, arena, &{place}_count, sizeof *{place});")
    each = f"int32_t i = 0; i < {place}_count"
    if field.struct:
        failed = f"{cursor[1:]}.failed" if cursor.startswith("&") else f"{cursor}->failed"
        with out.block(f"for ({each} && !{failed}; i++)"):
            out.put(f"{field.struct.c_name}_decode_fields(&{place}[i], {cursor}, version, arena);")
    else:
        with out.block(f"for ({each}; i++)"):
            put_by_version(out, field.versions, field.versions, lambda version: (
                f"{place}[i] = {read_item(message, field, version, cursor)};"))


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
    with out.function(f"static void {struct.c_name}_decode_fields("
                      f"struct {struct.c_name} *{struct.name}, struct cursor *cursor, "
                      "int16_t version, struct arena *arena)"):
        out.put(f"{struct.c_name}_init({struct.name});")
        for field in struct.untagged():
            put_decode_field(out, message, field, f"{struct.name}->{field.name}", "cursor",
                             struct.versions)
        flexible = struct.versions & message.flexible
        if flexible and struct.tagged():
            put_decode_tags(out, message, struct, flexible)
        elif flexible:
            with out.block(only(flexible, struct.versions)):
                out.put("cursor_skip_tags(cursor);")


def put_decode_tags(out, message, struct, flexible):
    if flexible != struct.versions:
        with out.block(only(struct.versions - flexible, struct.versions)):
            out.put("return;")
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
    with out.function(decode_prototype(message)):
        with out.block(f"if (version < {min(message.versions)} "
                       f"|| version > {max(message.versions)})"):
            out.put("return false;")
        out.put(f"{message.c_name}_decode_fields({message.name}, cursor, version, arena);")
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
        put_by_version(out, field.versions, among, lambda version: (
            f"writer_{form(message, field, version, 'count')}(writer, {place}_count);"))
        with (out.block(only(field.versions, among)),
              out.block(f"for (int32_t i = 0; i < {place}_count; i++)")):
            if field.struct:
                out.put(f"{field.struct.c_name}_encode_fields(&{place}[i], writer, version);")
            else:
                put_by_version(out, field.versions, field.versions, lambda version: (
                    write_item(message, field, version, f"{place}[i]")))
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
    with out.function(encode_prototype_of(struct, "encode_fields")):
        for field in struct.untagged():
            put_encode_field(out, message, field, f"{struct.name}->{field.name}", struct.versions)
        if flexible:
            line = "writer_uvarint32(writer, 0); /* no tagged fields */"
            if struct.tagged():
                line = f"{struct.c_name}_encode_tags({struct.name}, writer, version);"
            with out.block(only(flexible, struct.versions)):
                out.put(line)


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
    with out.function(encode_prototype(message)):
        out.put(f"assert(version >= {min(message.versions)} "
                f"&& version <= {max(message.versions)});")
        out.put(f"{message.c_name}_encode_fields({message.name}, writer, version);")


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
