/*
 * refusal -- results of log/ that are the client's fault; see refusal.def.
 */
#ifndef LOG_REFUSAL_H
#define LOG_REFUSAL_H

enum refusal {
    REFUSAL_NONE = 0,
#define REFUSAL(value, NAME, what) REFUSAL_##NAME = (value),
#include "log/refusal.def"
#undef REFUSAL
};

#endif
