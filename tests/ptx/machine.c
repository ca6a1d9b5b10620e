/* Blocks, warps and lanes of one kernel, run to their ends in an order that a seed chooses.

Found, where a device may go on in silence: accesses outside of every array, writes to one that is
read-only, misalignment; barriers that not every thread of the block reaches, at one place; votes,
shuffles and matches of lanes that are absent, at another place, or not in their own mask; and races
of plain accesses. Two accesses race if one of them writes, they are of different threads, and
neither a barrier nor (within a warp) a `bar.warp.sync` lies between; not if both are atomic. Threads
of different blocks are ordered only by `acq_rel`: what a thread did before its own, and others of
its block before the barrier before that, comes before what a thread does after a later one, and
others of its block after the next barrier. Shared memory and registers start as garbage.

`step` is the kernel, from another file. */

#include "machine.h"

Step step;

static uint64_t random_state;
static uint32_t epochs;

uint32_t draw(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (uint32_t)(random_state >> 20);
}

static Thread *lane(Block *block, uint32_t number) {
  return (Thread *)(block->threads + number * (sizeof(Thread) + block->launch->registers));
}

static int fault(Thread *t, int what, int site) {
  Launch *launch = t->block->launch;
  if (!launch->fault) {
    launch->fault = what, launch->site = site;
    launch->block = t->block->number, launch->thread = t->id;
  }
  return FAULT;
}

static int ordered(Thread *t, uint32_t other, uint32_t when, uint32_t when_warp) {
  Block *block = t->block;
  uint32_t threads = block->launch->threads, me = block->number * threads + t->id;
  if (other == me) return 1;
  if (other / threads != block->number) {
    Release *r = block->launch->releases + other / threads;
    int met = block->acquired && (block->epoch != block->acquired_epoch || t->id == block->acquirer);
    return met && r->stamp && r->stamp < block->acquired &&
           (when < r->epoch || (when == r->epoch && other % threads == r->thread));
  }
  if (when != block->epoch) return 1;
  uint32_t warp = t->id / LANES;
  return other % threads / LANES == warp && when_warp != block->warp_epochs[warp];
}

/* Whether an access is ordered after those that it meets; it is then noted. */
static int note(Thread *t, Shadow *s, int kind, int shared) {
  Block *block = t->block;
  uint32_t threads = block->launch->threads, me = block->number * threads + t->id;
  uint32_t now = block->epoch, warp = t->id / LANES, now_warp = block->warp_epochs[warp];
  int own_write = s->write_kind && !(shared && s->writer / threads != block->number);
  int own_reads = s->readers && !(shared && s->reader / threads != block->number);
  if (own_write && !(kind & ATOMIC && s->write_kind == 2) &&
      !ordered(t, s->writer, s->wrote, s->wrote_warp))
    return 0;
  if (kind & WRITE) {
    if (own_reads) {
      int here = s->reader / threads == block->number;
      if (s->readers == 4 || (!here && s->readers)) return 0;
      if (s->read == now) {
        int mates = s->reader % threads / LANES == warp;
        if (s->readers == 3) return 0;
        if (s->readers == 2 && !(mates && s->read_warp != now_warp)) return 0;
        if (s->readers == 1 && !ordered(t, s->reader, s->read, s->read_warp)) return 0;
      }
    }
    s->writer = me, s->wrote = now, s->wrote_warp = now_warp;
    s->write_kind = kind & ATOMIC ? 2 : 1, s->readers = 0;
    return 1;
  }
  if (kind & ATOMIC) return 1;
  int readers = 1; /* 1 thread, 2 several of a warp, 3 of a block, 4 of the grid */
  if (own_reads) {
    if (s->readers == 4 || s->reader / threads != block->number) readers = 4;
    else if (s->read == now && s->reader != me) {
      int mates = s->reader % threads / LANES == warp;
      if (s->readers == 3 || !mates) readers = 3;
      else if (s->read_warp == now_warp) readers = 2;
    } else if (s->read == now && (s->readers == 3 || s->read_warp == now_warp))
      readers = s->readers;
  }
  s->reader = me, s->read = now, s->read_warp = now_warp, s->readers = readers;
  return 1;
}

void meet(Thread *t) {
  Block *block = t->block;
  Launch *launch = block->launch;
  uint32_t stamp = ++launch->stamps;
  launch->releases[block->number] = (Release){ stamp, block->epoch, t->id };
  block->acquired = stamp, block->acquired_epoch = block->epoch, block->acquirer = t->id;
}

static void touch(Thread *t, uint64_t address, uint32_t size, int site) {
  Block *b = t->block;
  Launch *launch = b->launch;
  uint32_t visit = b->visits[t->id * launch->sites + site]++;
  launch->requested += size;
  if (b->n_touched == b->room) {
    b->room = b->room ? 2 * b->room : 4096;
    b->touched = realloc(b->touched, b->room * 16);
  }
  b->touched[2 * b->n_touched] = (uint64_t)(t->id / LANES) << 56 | (uint64_t)site << 40 | visit;
  b->touched[2 * b->n_touched + 1] = address >> 5;
  b->n_touched++;
}

static int by_both(const void *x, const void *y) {
  const uint64_t *a = x, *b = y;
  int first = (a[0] > b[0]) - (a[0] < b[0]);
  return first ? first : (a[1] > b[1]) - (a[1] < b[1]);
}

static void count_sectors(Block *b) {
  qsort(b->touched, b->n_touched, 16, by_both);
  for (uint32_t i = 0; i < b->n_touched; i++) {
    uint64_t *here = b->touched + 2 * i;
    int same = i && here[0] == here[-2];
    b->launch->requests += !same;
    b->launch->sectors += !(same && here[1] == here[-1]);
  }
  b->n_touched = 0;
}

char *place(Thread *t, uint64_t address, uint32_t size, int kind, int shared, int site) {
  Block *block = t->block;
  Launch *launch = block->launch;
  if (shared == 2) {
    shared = address >= GENERIC_SHARED;
    if (shared) address -= GENERIC_SHARED;
  }
  if (address % size) return fault(t, MISALIGNED, site), NULL;
  if (shared) {
    if (address + size > launch->shared || address + size < size) return fault(t, OUTSIDE, site), NULL;
    for (uint64_t at = address / launch->grain; at <= (address + size - 1) / launch->grain; at++)
      if (!note(t, block->shadow + at, kind, 1)) return fault(t, RACE, site), NULL;
    return block->shared + address;
  }
  if (kind & ATOMIC) launch->atomics++;
  if (launch->counting) touch(t, address, size, site);
  if (!launch->checked) return (char *)address; /* a sanitizer looks */
  for (uint64_t i = 0; i < launch->n_arrays; i++) {
    Array *array = launch->arrays + i;
    uint64_t from = address - array->start;
    if (address < array->start || from + size > array->size) continue;
    if (kind & WRITE && !array->writable) return fault(t, READ_ONLY, site), NULL;
    for (uint64_t at = from / array->grain; at <= (from + size - 1) / array->grain; at++)
      if (!note(t, array->shadow + at, kind, 0)) return fault(t, RACE, site), NULL;
    return (char *)address;
  }
  return fault(t, OUTSIDE, site), NULL;
}

static uint32_t reduce(int op, uint32_t x, uint32_t y) {
  switch (op) {
    case SUM: return x + y;
    case LEAST: return x < y ? x : y;
    case MOST: return x > y ? x : y;
    case AND: return x & y;
    case OR: return x | y;
    default: return x ^ y;
  }
}

/* One operation of the lanes of a mask that have all come to it: 1 if there was one, -1 at fault. */
static int together(Block *block, uint32_t warp, uint32_t count) {
  Thread *lanes[LANES];
  for (uint32_t l = 0; l < count; l++) lanes[l] = lane(block, warp * LANES + l);
  for (uint32_t l = 0; l < count; l++) {
    Thread *t = lanes[l];
    if (t->state != TOGETHER) continue;
    uint32_t mask = t->mask, votes = 0;
    if (!(mask >> l & 1)) return fault(t, NOT_IN_MASK, t->pc), -1;
    int there = 1;
    for (uint32_t j = 0; j < LANES && there; j++) {
      if (!(mask >> j & 1)) continue;
      if (j >= count || lanes[j]->state == DONE) return fault(t, ABSENT, t->pc), -1;
      there = lanes[j]->state == TOGETHER && lanes[j]->pc == t->pc && lanes[j]->mask == mask;
      votes |= (uint32_t)(lanes[j]->a != 0) << j;
    }
    if (!there) continue;
    int op = t->op, first = __builtin_ctz(mask);
    uint32_t total = lanes[first]->a;
    for (uint32_t j = first + 1; j < LANES; j++)
      if (mask >> j & 1) total = reduce(op, total, lanes[j]->a);
    for (uint32_t j = 0; j < LANES; j++) {
      if (!(mask >> j & 1)) continue;
      Thread *u = lanes[j];
      if (op <= INDEX) {
        uint32_t keep = u->c >> 8 & 31, clamp = u->c & 31, last = (j & keep) | (clamp & ~keep);
        int from = op == UP ? (int)j - (int)(u->b & 31) : op == DOWN ? (int)(j + (u->b & 31))
                 : op == BUTTERFLY ? (int)(j ^ (u->b & 31)) : (int)((j & keep) | (u->b & ~keep & 31));
        u->found = op == UP ? from >= (int)last : from <= (int)last;
        if (!u->found) from = j;
        if (!(mask >> from & 1)) return fault(u, ABSENT, u->pc), -1;
        u->result = lanes[from]->a;
      } else if (op == MATCH) {
        u->result = 0;
        for (uint32_t k = 0; k < LANES; k++)
          if (mask >> k & 1 && lanes[k]->wide == u->wide) u->result |= 1u << k;
      } else if (op >= SUM) {
        u->result = total;
      } else {
        u->result = votes & mask;
        u->found = op == ALL ? u->result == mask : u->result != 0;
      }
    }
    for (uint32_t j = 0; j < LANES; j++)
      if (mask >> j & 1) lanes[j]->state = RUN;
    if (op == SYNC && mask == ~0u >> (LANES - count)) block->warp_epochs[warp] = ++epochs;
    return 1;
  }
  return 0;
}

static void start(Block *block, uint32_t number) {
  uint32_t threads = block->launch->threads, warps = (threads + LANES - 1) / LANES;
  block->number = number, block->epoch = ++epochs, block->live = 1, block->acquired = 0;
  for (uint32_t w = 0; w < warps; w++) block->warp_epochs[w] = ++epochs;
  memset(block->shared, 0xCD, block->launch->shared);
  memset(block->threads, 0xCD, threads * (sizeof(Thread) + block->launch->registers));
  if (block->launch->counting) memset(block->visits, 0, 4 * threads * block->launch->sites);
  for (uint32_t i = 0; i < threads; i++) {
    Thread *t = lane(block, i);
    t->pc = 0, t->state = RUN, t->id = i, t->block = block;
  }
}

/* Let the warps of a block go on for a while: 1 if any did, -1 at fault. */
static int advance(Block *block) {
  Launch *launch = block->launch;
  uint32_t threads = launch->threads, warps = (threads + LANES - 1) / LANES;
  int any = 0, seeded = launch->seed != 0;
  uint32_t first = seeded ? draw() % warps : 0;
  for (uint32_t i = 0; i < warps; i++) {
    uint32_t w = (first + i) % warps, count = threads - w * LANES;
    if (count > LANES) count = LANES;
    if (seeded && draw() % 4 == 0) continue;
    int more = 1;
    while (more) {
      more = 0;
      uint32_t lead = seeded ? draw() % count : 0, stride = seeded && draw() & 1 ? count - 1 : 1;
      for (uint32_t j = 0; j < count; j++) {
        Thread *t = lane(block, w * LANES + (lead + j * stride) % count);
        if (t->state != RUN) continue;
        if (seeded && draw() % 8 == 0) continue;
        t->fuel = seeded ? draw() % 64 : 256;
        int state = step(t);
        if (state == FAULT) return -1;
        t->state = state, any = 1;
      }
      int done = together(block, w, count);
      if (done < 0) return -1;
      more = done && launch->instructions <= launch->limit, any |= done;
    }
  }
  uint32_t waiting = 0, done = 0, free = 0, same = 1, pc = 0;
  Thread *last = lane(block, 0);
  for (uint32_t i = 0; i < threads; i++) {
    Thread *t = lane(block, i);
    if (t->state == BARRIER) {
      same &= !waiting || pc == t->pc, pc = t->pc, waiting++, last = t;
    }
    done += t->state == DONE, free += t->state == RUN;
  }
  if (waiting == threads && same) {
    launch->barriers++;
    block->epoch = ++epochs;
    for (uint32_t i = 0; i < threads; i++) lane(block, i)->state = RUN;
    return 1;
  }
  if (done == threads) {
    if (launch->counting) count_sectors(block);
    block->live = 0;
    return 2;
  }
  if (waiting && (done || (waiting == threads && !same))) return fault(last, DIVERGED, last->pc), -1;
  if (!free && !any) {
    for (uint32_t i = 0; i < threads; i++)
      if (lane(block, i)->state != DONE) last = lane(block, i);
    return fault(last, STUCK, last->pc), -1;
  }
  return any || seeded;
}

EXPORT int launch(Launch *launch, const char *parameters) {
  uint32_t threads = launch->threads, warps = (threads + LANES - 1) / LANES;
  uint64_t resident = launch->resident < launch->blocks ? launch->resident : launch->blocks;
  uint32_t *order = malloc(4 * launch->blocks + 4);
  Block *blocks = calloc(resident + 1, sizeof(Block));
  epochs = 0;
  launch->releases = calloc(launch->blocks + 1, sizeof(Release));
  random_state = launch->seed * 0x9E3779B97F4A7C15ull | 1;
  for (uint32_t i = 0; i < launch->blocks; i++) order[i] = i;
  if (launch->seed)
    for (uint32_t i = launch->blocks; i-- > 1;) {
      uint32_t j = draw() % (i + 1), other = order[i];
      order[i] = order[j], order[j] = other;
    }
  for (uint64_t i = 0; i < resident; i++) {
    Block *b = blocks + i;
    b->launch = launch, b->parameters = parameters;
    b->shared = malloc(launch->shared + 1);
    b->shadow = calloc(launch->shared / launch->grain + 1, sizeof(Shadow));
    b->threads = malloc(threads * (sizeof(Thread) + launch->registers));
    b->warp_epochs = malloc(4 * warps), b->visits = malloc(4 * threads * launch->sites + 4);
  }
  uint64_t next = 0, done = 0;
  while (done < launch->blocks && !launch->fault) {
    int any = 0;
    for (uint64_t i = 0; i < resident && !launch->fault; i++) {
      if (!blocks[i].live) {
        if (next == launch->blocks) continue;
        start(blocks + i, order[next++]);
      }
      if (launch->seed && draw() % 4 == 0) { any = 1; continue; }
      int went = advance(blocks + i);
      any |= went != 0, done += went == 2;
    }
    if ((!any || launch->instructions > launch->limit) && !launch->fault) launch->fault = ENDLESS;
  }
  for (uint64_t i = 0; i < resident; i++) {
    Block *b = blocks + i;
    free(b->shared), free(b->shadow), free(b->threads), free(b->warp_epochs), free(b->visits);
    free(b->touched);
  }
  free(order), free(blocks), free(launch->releases);
  return launch->fault;
}
