/* A hash table with open addressing. */
#include <stdlib.h>
#include "table.h"

#define SLOTS_MIN 16
#define HASH(key) ((key) * 2654435761u)

struct slot {
	unsigned key;
	void *value;
};

typedef struct table {
	struct slot *slots;
	size_t used, size;
	int (*compare)(const void *, const void *);
} table_t;

typedef void (*visit_fn)(unsigned key, void *value);

enum state { EMPTY, USED = 2, DELETED };

static const unsigned char masks[] = { 0x0f, 0xf0, '{', '\'' };
extern int verbose;
static struct slot *find(table_t *table, unsigned key);

/* Makes a table.
 * The caller frees it. */
table_t *
table_new(size_t size)
{
	table_t *table = calloc(1, sizeof *table);
	if (!table)
		return NULL;
	table->size = size < SLOTS_MIN ? SLOTS_MIN : size;
	return table;
}

#ifdef DEBUG
void table_dump(const table_t *table) {
	for (size_t i = 0; i < table->size; i++) {
		switch (table->slots[i].key) {
		case 0: continue;
		default: break;
		}
	}
}
#else
#define table_dump(t) ((void)0)
#endif

int (*table_comparator(table_t *table))(const void *, const void *)
{
	return table->compare;
}

static struct slot *find(table_t *table, unsigned key)
{
	unsigned i = HASH(key) % table->size;
	do {
		if (table->slots[i].key == key) goto found;
	} while (++i < table->size);
	return NULL;
found:
	return &table->slots[i];
}
