/* What kernels and the machine that runs them share. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { RUN, BARRIER, TOGETHER, DONE, FAULT };
enum { UP, DOWN, BUTTERFLY, INDEX, BALLOT, ANY, ALL, SYNC, MATCH, SUM, LEAST, MOST, AND, OR, XOR };
enum { LANES = 32 };
enum { NOTHING, OUTSIDE, READ_ONLY, MISALIGNED, RACE, DIVERGED, ABSENT, NOT_IN_MASK, STUCK, ENDLESS };
enum { READ = 1, WRITE = 2, ATOMIC = 4 };

#define GENERIC_SHARED (1ull << 62)

typedef struct {
  uint32_t writer, wrote, wrote_warp, reader, read, read_warp;
  uint8_t write_kind, readers;
} Shadow;

typedef struct {
  uint64_t start, size, writable, grain;
  Shadow *shadow;
} Array;

/* A block's last `acq_rel`: which of all, and when its thread made it; none if 0. */
typedef struct {
  uint32_t stamp, epoch, thread;
} Release;

typedef struct {
  uint64_t n_arrays, blocks, threads, resident, seed, checked, counting, limit;
  uint64_t sites, shared, grain, registers;
  Array *arrays;
  uint64_t instructions, requested, sectors, requests, atomics, barriers;
  uint32_t fault, site, block, thread;
  uint32_t stamps;
  Release *releases;
} Launch;

typedef struct Block Block;

typedef struct {
  uint32_t pc, state, id, mask, op, a, b, c, result, found;
  int32_t fuel;
  uint64_t wide;
  Block *block;
  uint64_t r[];
} Thread;

struct Block {
  Launch *launch;
  const char *parameters;
  uint32_t number, epoch, *warp_epochs, *visits, n_touched, room;
  uint32_t acquired, acquired_epoch, acquirer;
  uint64_t *touched;
  char *shared, *threads;
  Shadow *shadow;
  int live;
};

/* Where an access goes, or NULL once it is found to be at fault; `shared` is 2 if that is not known. */
char *place(Thread *t, uint64_t address, uint32_t size, int kind, int shared, int site);

/* An `acq_rel` of a thread: it orders blocks, by whatever word. */
void meet(Thread *t);

/* A number that the seed of a launch gives. */
uint32_t draw(void);

/* Run one lane until it must wait, ends, or has gone back often enough. */
typedef int Step(Thread *t);

static inline float as_f32(uint32_t x) { float y; memcpy(&y, &x, 4); return y; }
static inline uint32_t bits_f32(float x) { uint32_t y; memcpy(&y, &x, 4); return y; }
static inline double as_f64(uint64_t x) { double y; memcpy(&y, &x, 8); return y; }
static inline uint64_t bits_f64(double x) { uint64_t y; memcpy(&y, &x, 8); return y; }
