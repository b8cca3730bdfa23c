import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.lang.reflect.Field;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;

/**
 * Kafka's half of the proof that our codec and Kafka's serializer make the same bytes.
 *
 * <pre>
 *     Kafka describe NAMES > OUT           each message in each version, field by field
 *     Kafka make NAMES SEED COUNT OUT      COUNT random messages of each kind and version, encoded
 *     Kafka check IN                       decode what we encoded, encode it again, compare
 * </pre>
 *
 * NAMES is a file whose lines begin with a message's name, in our spelling. The form of the other
 * files is told in codec_proof.c.
 */
public final class Kafka {
    private static final Map<String, Integer> CONTROL_KEYS = Map.of("leader_change_message", 2,
        "snapshot_header_record", 3, "snapshot_footer_record", 4, "kraft_version_record", 5,
        "voters_record", 6); // ControlRecordType has them under names of its own
    private static final int ITEMS_MAX = 2000;
    private static final int FAILURES_SHOWN_MAX = 20;

    // --- A message's class, versions and schema -----------------------------------------------

    private static Class<? extends Message> classOf(String name) throws ClassNotFoundException {
        StringBuilder camel = new StringBuilder();
        for (String word : name.split("_")) {
            camel.append(Character.toUpperCase(word.charAt(0))).append(word.substring(1));
        }
        String simple = camel.toString().replace("Kraft", "KRaft");
        for (String full : List.of("message." + simple + "Data", "message." + simple,
                                   "metadata." + simple)) {
            try {
                return Class.forName("org.apache.kafka.common." + full).asSubclass(Message.class);
            } catch (ClassNotFoundException next) {
                continue;
            }
        }
        throw new ClassNotFoundException(name);
    }

    private static Message create(Class<? extends Message> kind)
        throws ReflectiveOperationException {
        return kind.getConstructor().newInstance();
    }

    /** The stable versions: a class may have one more that is not enabled by default. */
    private static short[] versionsOf(String name) throws ReflectiveOperationException {
        Message message = create(classOf(name));
        if (name.endsWith("_request") || name.endsWith("_response")) {
            ApiKeys key = ApiKeys.forId(((ApiMessage) message).apiKey());
            return new short[] {message.lowestSupportedVersion(), key.latestVersion(false)};
        }
        return new short[] {message.lowestSupportedVersion(), message.highestSupportedVersion()};
    }

    private static String keyOf(String name) throws ReflectiveOperationException {
        if (CONTROL_KEYS.containsKey(name)) {
            return CONTROL_KEYS.get(name).toString();
        }
        short key = create(classOf(name)) instanceof ApiMessage m ? m.apiKey() : -1;
        return key < 0 ? "none" : Short.toString(key);
    }

    private static Schema schemaOf(Class<?> kind, short version)
        throws ReflectiveOperationException {
        return ((Schema[]) kind.getField("SCHEMAS").get(null))[version];
    }

    // --- describe -----------------------------------------------------------------------------

    private static String describe(Type type) {
        String text;
        if (type instanceof Schema schema) {
            List<String> fields = new ArrayList<>();
            for (BoundField field : schema.fields()) {
                fields.add(describe(field.def.name, field.def.type));
            }
            text = "{" + String.join(" ", fields) + "}";
        } else if (type instanceof TaggedFields tagged) {
            List<String> fields = new ArrayList<>();
            new TreeMap<>(tagged.fields()).forEach((tag, field) ->
                fields.add(tag + "=" + describe(field.name, field.type)));
            return "tagged(" + String.join(" ", fields) + ")";
        } else if (type.isArray()) {
            String compact = type.toString().startsWith("COMPACT") ? "compact_" : "";
            text = compact + "[" + describe(type.arrayElementType().get()) + "]";
        } else {
            text = type.toString().replace("NULLABLE_", "").replace("BOOLEAN", "BOOL")
                .toLowerCase(Locale.ROOT);
        }
        return text + (type.isNullable() ? "?" : "");
    }

    private static String describe(String name, Type type) {
        return type instanceof TaggedFields ? describe(type) : name + ":" + describe(type);
    }

    private static void describeAll(List<String> names) throws ReflectiveOperationException {
        for (String name : names) {
            short[] versions = versionsOf(name);
            System.out.printf("%s key %s versions %d-%d%n", name, keyOf(name), versions[0],
                              versions[1]);
            for (short version = versions[0]; version <= versions[1]; version++) {
                System.out.printf("%s %d %s%n", name, version,
                                  describe(schemaOf(classOf(name), version)));
            }
        }
    }

    // --- make ---------------------------------------------------------------------------------

    /** Fills a message's fields, those that its schema has in one version. */
    private static final class Filler {
        final Random random;
        final boolean addsUnknownTags;
        int itemsLeft = ITEMS_MAX;

        Filler(long seed, boolean addsUnknownTags) {
            this.random = new Random(seed);
            this.addsUnknownTags = addsUnknownTags;
        }

        void fill(Message message, Schema schema) throws ReflectiveOperationException {
            for (BoundField field : schema.fields()) {
                if (!(field.def.type instanceof TaggedFields tagged)) {
                    set(message, field.def.name, field.def.type);
                    continue;
                }
                for (var one : tagged.fields().values()) {
                    if (random.nextBoolean()) {
                        set(message, one.name, one.type);
                    }
                }
                // The same random numbers are drawn with and without them.
                int tag = tagged.fields().keySet().stream().max(Integer::compare).orElse(-1)
                    + 1 + random.nextInt(300);
                byte[] value = bytes();
                if (random.nextInt(4) == 0 && addsUnknownTags) {
                    message.unknownTaggedFields().add(new RawTaggedField(tag, value));
                }
            }
        }

        private void set(Object message, String name, Type type)
            throws ReflectiveOperationException {
            Field field = fieldOf(message.getClass(), name);
            field.set(message, value(type, field));
        }

        private static Field fieldOf(Class<?> kind, String name) throws NoSuchFieldException {
            String wanted = name.replace("_", "");
            for (Field field : kind.getDeclaredFields()) {
                if (field.getName().equalsIgnoreCase(wanted)) {
                    field.setAccessible(true);
                    return field;
                }
            }
            throw new NoSuchFieldException(kind.getName() + "." + name);
        }

        private Object value(Type type, Field field) throws ReflectiveOperationException {
            if (type.isNullable() && random.nextInt(4) == 0) {
                return null;
            }
            if (type.isArray()) {
                return array(type.arrayElementType().get(), field);
            }
            if (type instanceof Schema schema) {
                Message struct = create(field.getType().asSubclass(Message.class));
                fill(struct, schema);
                return struct;
            }
            return scalar(type, field.getType());
        }

        private Object array(Type item, Field field) throws ReflectiveOperationException {
            Class<?> kind = field.getType();
            java.lang.reflect.Type declared = kind == List.class ? field.getGenericType()
                                                                 : kind.getGenericSuperclass();
            Class<?> itemKind =
                (Class<?>) ((ParameterizedType) declared).getActualTypeArguments()[0];
            @SuppressWarnings("unchecked")
            Collection<Object> items = kind == List.class
                ? new ArrayList<>() : (Collection<Object>) kind.getConstructor().newInstance();
            int count = random.nextInt(40) == 0 ? 120 + random.nextInt(16) : random.nextInt(5);
            for (; count > 0 && itemsLeft > 0; count--, itemsLeft--) {
                if (item instanceof Schema schema) {
                    Message struct = create(itemKind.asSubclass(Message.class));
                    fill(struct, schema);
                    items.add(struct);
                } else {
                    items.add(scalar(item, itemKind));
                }
            }
            return items;
        }

        private Object scalar(Type type, Class<?> kind) {
            switch (type.toString().replace("COMPACT_", "").replace("NULLABLE_", "")) {
                case "BOOLEAN": return random.nextBoolean();
                case "INT8": return (byte) number(8);
                case "INT16": return (short) number(16);
                case "UINT16": return (int) number(16) & 0xffff;
                case "INT32": return (int) number(32);
                case "UINT32": return number(32) & 0xffffffffL;
                case "INT64": return number(64);
                case "FLOAT64": return number(64) / 3.0;
                case "UUID": return random.nextInt(4) == 0
                    ? Uuid.ZERO_UUID : new Uuid(random.nextLong(), random.nextLong());
                case "STRING": return string();
                case "BYTES": return kind == ByteBuffer.class ? ByteBuffer.wrap(bytes()) : bytes();
                case "RECORDS": return MemoryRecords.readableRecords(ByteBuffer.wrap(bytes()));
                default: throw new IllegalArgumentException(type.toString());
            }
        }

        /** The edges of its range more often than chance would have them. */
        private long number(int bits) {
            switch (random.nextInt(6)) {
                case 0: return 0;
                case 1: return -1;
                case 2: return (1L << (bits - 1)) - 1;
                case 3: return 1L << (bits - 1);
                default: return random.nextLong() >> random.nextInt(64);
            }
        }

        /** Mostly short; sometimes its length is a varint of two or three bytes. */
        private int length() {
            switch (random.nextInt(16)) {
                case 0: return 0;
                case 1: return 120 + random.nextInt(16);
                case 2: return random.nextInt(16) == 0 ? 16380 + random.nextInt(16) : 1;
                default: return 1 + random.nextInt(20);
            }
        }

        private byte[] bytes() {
            byte[] bytes = new byte[length()];
            random.nextBytes(bytes);
            return bytes;
        }

        private String string() {
            String[] letters = {"a", ".", "Z", "\n", "\u00e9", "\u5b57", "\ud83e\uddf5"};
            StringBuilder text = new StringBuilder();
            for (int left = length(); left > 0; left--) {
                text.append(letters[random.nextInt(letters.length)]);
            }
            return text.toString();
        }
    }

    private static byte[] encode(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
        if (buffer.hasRemaining()) {
            throw new IllegalStateException("Kafka measured another size than it wrote");
        }
        return buffer.array();
    }

    private static Message decode(Class<? extends Message> kind, byte[] bytes, short version)
        throws ReflectiveOperationException {
        Message message = create(kind);
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        message.read(new ByteBufferAccessor(buffer), version);
        if (buffer.hasRemaining()) {
            throw new IllegalStateException(buffer.remaining() + " bytes are left");
        }
        return message;
    }

    private static void put(DataOutputStream out, String name, short version, short outVersion,
                            byte[] input, byte[] output) throws IOException {
        out.writeUTF(name);
        out.writeShort(version);
        out.writeShort(outVersion);
        out.writeInt(input.length);
        out.write(input);
        out.writeInt(output.length);
        out.write(output);
    }

    private static void makeOne(DataOutputStream out, String name, short version, short outVersion,
                                long seed) throws ReflectiveOperationException, IOException {
        Class<? extends Message> kind = classOf(name);
        Schema schema = schemaOf(kind, version);
        Message plain = create(kind);
        Message tagged = create(kind);
        new Filler(seed, false).fill(plain, schema);
        new Filler(seed, true).fill(tagged, schema);
        byte[] bytes = encode(plain, version);
        put(out, name, version, version, bytes, bytes);
        if (tagged.unknownTaggedFields() != null) {
            put(out, name, version, version, encode(tagged, version), bytes);
        }
        byte[] other;
        try {
            other = encode(decode(kind, bytes, version), outVersion);
        } catch (RuntimeException cannotBeSaid) { // in that version
            return;
        }
        put(out, name, version, outVersion, bytes, other);
    }

    private static void makeAll(List<String> names, long seed, int count, Path path)
        throws ReflectiveOperationException, IOException {
        try (var out = new DataOutputStream(
                 new BufferedOutputStream(Files.newOutputStream(path)))) {
            for (String name : names) {
                short[] versions = versionsOf(name);
                int span = versions[1] - versions[0] + 1;
                for (int turn = 0; turn < count * span; turn++) {
                    short version = (short) (versions[0] + turn % span);
                    short outVersion = (short) (versions[0] + turn / span % span);
                    makeOne(out, name, version, outVersion,
                            seed + turn + 31L * name.hashCode());
                }
            }
        }
    }

    // --- check --------------------------------------------------------------------------------

    private static boolean checkAll(Path path) throws ReflectiveOperationException, IOException {
        int passed = 0;
        int failed = 0;
        try (var in = new DataInputStream(new BufferedInputStream(Files.newInputStream(path)))) {
            while (true) {
                String name;
                try {
                    name = in.readUTF();
                } catch (EOFException end) {
                    break;
                }
                short version = in.readShort();
                short outVersion = in.readShort();
                byte[] input = in.readNBytes(in.readInt());
                byte[] output = in.readNBytes(in.readInt());
                String wrong = null;
                try {
                    byte[] again = encode(decode(classOf(name), input, version), outVersion);
                    wrong = Arrays.equals(again, output) ? null : "is encoded otherwise";
                } catch (RuntimeException refused) {
                    wrong = "is refused: " + refused;
                }
                if (wrong == null) {
                    passed++;
                } else if (++failed <= FAILURES_SHOWN_MAX) {
                    System.out.printf("%s %d, %d bytes: %s%n", name, version, input.length, wrong);
                }
            }
        }
        System.out.printf("our bytes in Kafka: %d passed, %d failed, 0 skipped%n", passed, failed);
        return failed == 0 && passed > 0;
    }

    private static List<String> names(String path) throws IOException {
        return Files.readAllLines(Path.of(path), StandardCharsets.UTF_8).stream()
            .map(line -> line.split(" ")[0]).distinct().toList();
    }

    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "describe" -> describeAll(names(arguments[1]));
            case "make" -> makeAll(names(arguments[1]), Long.parseLong(arguments[2]),
                                   Integer.parseInt(arguments[3]), Path.of(arguments[4]));
            case "check" -> System.exit(checkAll(Path.of(arguments[1])) ? 0 : 1);
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    private Kafka() {}
}
