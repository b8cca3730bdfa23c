/*
 * expiry -- producers that were silent for producer.id.expiration.ms are forgotten, as in Kafka.
 *
 * Every ten minutes all logs that know of producers are looked through, some producers a turn. When
 * the memory for producers runs out, those too old for a retry go at once, from all logs.
 * Lives on the store's core.
 */
#ifndef LOG_EXPIRY_H
#define LOG_EXPIRY_H

struct log;
struct store;

/* It may have producers now. */
void expiry_note(struct log *log);
/* It was denied one. */
void expiry_press(struct log *log);
/* It goes. */
void expiry_forget(struct log *log);
/* The store closes. */
void expiry_stop(struct store *store);

#endif
