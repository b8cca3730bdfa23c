"""codec_schema -- a schema of net/schema/, read and checked: Message > Struct > Field.

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
RESERVED = ("cursor", "writer", "arena", "version", "tags", "measure", "count", "fill", "walk",
            "at")
LEVELS_MAX = 4  # CODEC_LEVELS_MAX
VERSIONS = re.compile(r"^\d+(-\d+|\+)?$")


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
        self.level = 0  # how many arrays it may stand in: its place in a walk

    def tagged(self):
        return sorted((f for f in self.fields if f.tag is not None), key=lambda f: f.tag)

    def untagged(self):
        return [f for f in self.fields if f.tag is None]

    def pauses(self):
        """Whether it holds arrays, and so may have to be gone on with later."""
        return any(field.is_array for field in self.untagged())


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
    for struct in reversed(ordered.values()):  # parents first
        for field in struct.fields:
            if field.struct and field.struct.pauses():
                check_pausing(struct, field)
                field.struct.level = max(field.struct.level, struct.level + 1)
                if field.struct.level >= LEVELS_MAX:
                    raise SchemaError(f"{field.name}: arrays in more than {LEVELS_MAX} levels")


def check_pausing(struct, field):
    """An array can be paused in when nothing but arrays stands around it. A tagged value is
    measured before it is written, which is one go over it."""
    if not field.is_array:
        raise SchemaError(f"{field.name}: a struct with arrays that is no array's item")
    if field.tag is not None:
        raise SchemaError(f"{field.name}: an array within a tagged array")


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
    if field.tag is not None and field.is_array and struct is not message:
        raise SchemaError(f"{field.name}: a tagged array that a message may have many of")
    if is_pointer(field) and field.nullable != field.versions:
        raise SchemaError(f"{field.name}: a struct may be null in all its versions or in none")


def is_pointer(field):
    """A struct that may be null is kept elsewhere."""
    return bool(field.struct and not field.is_array and field.nullable)
