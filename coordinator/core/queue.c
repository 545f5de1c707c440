// SPDX-License-Identifier: Apache-2.0
//
// Tasks that wait: doubly linked through the tasks themselves, so that any of them can be taken out
// at once.
#include "coordinator/core/state.h"

static Task *enter(Core *core, QueueName name, TaskTag tag, int64_t now_ms) {
    Task *task = &core->tasks[tag];
    task->state = name == QUEUE_CONDEMNED ? TASK_CONDEMNED : TASK_WAITING;
    task->queue = (uint8_t)name;
    task->since_ms = (uint32_t)now_ms;
    core->queues[name].count++;
    return task;
}

void queue_push(Core *core, QueueName name, TaskTag tag, int64_t now_ms) {
    Task *task = enter(core, name, tag, now_ms);
    Queue *queue = &core->queues[name];
    task->next = NO_TASK;
    task->before = queue->last;
    *(queue->last != NO_TASK ? &core->tasks[queue->last].next : &queue->first) = tag;
    queue->last = tag;
}

void queue_push_front(Core *core, QueueName name, TaskTag tag, int64_t now_ms) {
    Task *task = enter(core, name, tag, now_ms);
    Queue *queue = &core->queues[name];
    task->before = NO_TASK;
    task->next = queue->first;
    *(queue->first != NO_TASK ? &core->tasks[queue->first].before : &queue->last) = tag;
    queue->first = tag;
}

void queue_remove(Core *core, TaskTag tag) {
    Task *task = &core->tasks[tag];
    Queue *queue = &core->queues[task->queue];
    *(task->before != NO_TASK ? &core->tasks[task->before].next : &queue->first) = task->next;
    *(task->next != NO_TASK ? &core->tasks[task->next].before : &queue->last) = task->before;
    queue->count--;
}
