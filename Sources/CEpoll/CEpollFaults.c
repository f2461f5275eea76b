// The fault table itself. Nothing of this file is compiled without -DCEPOLL_FAULTS.
#include "CEpoll.h"

#ifdef CEPOLL_FAULTS

#include <stdlib.h>

#define RULES 32
#define RECORDS 8192
#define EVENTS 64
#define PIECES 64

struct table {
    cepoll_fault rules[RULES];
    int rule_count;
    cepoll_event events[EVENTS];
    int event_count;
    cepoll_call_record records[RECORDS];
    int record_count;
    uint64_t left_out;
    uint64_t clock;
    int64_t mask;
    struct iovec pieces[PIECES];
};

static _Thread_local struct table *table;

void cepoll_faults_begin(void) {
    cepoll_faults_end();
    table = calloc(1, sizeof *table);
    table->mask = -1;
}

void cepoll_faults_end(void) {
    free(table);
    table = NULL;
}

void cepoll_faults_add(cepoll_fault rule) {
    if (table == NULL || table->rule_count == RULES) { abort(); }
    table->rules[table->rule_count++] = rule;
}

void cepoll_faults_add_event(uint32_t events, uint32_t slot, uint32_t generation) {
    if (table == NULL || table->event_count == EVENTS) { abort(); }
    table->events[table->event_count++] = (cepoll_event){ .events = events, .slot = slot, .generation = generation };
}

void cepoll_faults_shift_clock(uint64_t nanoseconds) {
    table->clock += nanoseconds;
}

void cepoll_faults_leave_out(int trap) {
    table->left_out |= (uint64_t)1 << trap;
}

int cepoll_faults_is_left_out(int trap) {
    return table != NULL && (table->left_out >> trap & 1) != 0;
}

int cepoll_faults_count(void) {
    return table == NULL ? 0 : table->record_count;
}

cepoll_call_record cepoll_faults_record(int index) {
    return table->records[index];
}

int cepoll_fault_meets(int call, int fd, int64_t *argument, int64_t *result) {
    if (table == NULL) { return 0; }
    for (int i = 0; i < table->rule_count; i++) {
        cepoll_fault *rule = &table->rules[i];
        if (rule->call != call || (rule->fd >= 0 && rule->fd != fd) || rule->times == 0) { continue; }
        if (rule->after > 0) {
            rule->after--;
            continue;
        }
        if (rule->times > 0) { rule->times--; }
        switch ((enum cepoll_fault_effect)rule->effect) {
        case CEPOLL_FAULT_ANSWERS:
            *result = rule->value;
            return 1;
        case CEPOLL_FAULT_LIMITS:
            if (*argument > rule->value) { *argument = rule->value; }
            return 0;
        case CEPOLL_FAULT_MASKS:
            table->mask = rule->value;
            return 0;
        }
    }
    return 0;
}

int64_t cepoll_fault_note(int call, int fd, int64_t argument, int64_t result) {
    if (table != NULL && table->record_count < RECORDS) {
        table->records[table->record_count++] =
            (cepoll_call_record){ .call = call, .fd = fd, .argument = argument, .result = result };
    }
    return result;
}

int cepoll_fault_has_events(void) {
    return table != NULL && table->event_count > 0;
}

int cepoll_fault_deliver(void *raw, int capacity, int count) {
    if (table == NULL) { return count; }
    cepoll_event *events = raw;
    for (int i = 0; i < count; i++) { events[i].events &= (uint32_t)table->mask; }
    table->mask = -1;
    for (int i = 0; i < table->event_count && count < capacity; i++) { events[count++] = table->events[i]; }
    table->event_count = 0;
    return count;
}

void cepoll_fault_clip(struct msghdr *message, int64_t bytes) {
    size_t count = 0;
    for (; count < message->msg_iovlen && count < PIECES && bytes > 0; count++) {
        table->pieces[count] = message->msg_iov[count];
        if ((int64_t)table->pieces[count].iov_len > bytes) { table->pieces[count].iov_len = (size_t)bytes; }
        bytes -= (int64_t)table->pieces[count].iov_len;
    }
    message->msg_iov = table->pieces;
    message->msg_iovlen = count;
}

int64_t cepoll_fault_size(const struct msghdr *message) {
    int64_t bytes = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++) { bytes += (int64_t)message->msg_iov[i].iov_len; }
    return bytes;
}

uint64_t cepoll_fault_clock(void) {
    return table == NULL ? 0 : table->clock;
}

#endif
