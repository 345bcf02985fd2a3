/*
 * server.c
 *	  The parts of a server that src/worker/response.c needs, to run without one.
 *
 * The JSON parser, StringInfo and psprintf are PostgreSQL's own, from its
 * libpgcommon.  Each palloc is a malloc here, so that AddressSanitizer sees the
 * ends of small blocks too, which a memory context would hide.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "mb/pg_wchar.h"
#include "server.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#undef malloc
#undef free

typedef struct Block
{
	dlist_node	node;
	Size		size;
	Size		unused;			/* keeps the memory after it aligned for any type */
} Block;

static dlist_head blocks = DLIST_STATIC_INIT(blocks);

int			fuzz_encoding = PG_UTF8;

void *
palloc(Size size)
{
	Block	   *block;

	/* the limit of the server's own palloc */
	if (!AllocSizeIsValid(size) || (block = malloc(sizeof(Block) + size)) == NULL)
		abort();
	block->size = size;
	dlist_push_tail(&blocks, &block->node);
	return block + 1;
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

void *
palloc_extended(Size size, int flags)
{
	return (flags & MCXT_ALLOC_ZERO) ? palloc0(size) : palloc(size);
}

void
pfree(void *pointer)
{
	Block	   *block = (Block *) pointer - 1;

	dlist_delete(&block->node);
	free(block);
}

void *
repalloc(void *pointer, Size size)
{
	void	   *bigger = palloc(size);

	memcpy(bigger, pointer, Min(size, ((Block *) pointer - 1)->size));
	pfree(pointer);
	return bigger;
}

char *
pstrdup(const char *s)
{
	return strcpy(palloc(strlen(s) + 1), s);
}

char *
pnstrdup(const char *s, Size len)
{
	char	   *copy;

	len = strnlen(s, len);
	copy = palloc(len + 1);
	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

/* Free all blocks, like the end of a memory context. */
void
fuzz_free_all(void)
{
	while (!dlist_is_empty(&blocks))
		pfree(dlist_container(Block, node, dlist_head_node(&blocks)) + 1);
}

int
GetDatabaseEncoding(void)
{
	return fuzz_encoding;
}

/* Return the length of the whole characters within the limit, as the server's mbutils.c does. */
int
pg_encoding_mbcliplen(int encoding, const char *s, int len, int limit)
{
	int			clipped = 0;

	while (clipped < len)
	{
		int			n = pg_encoding_mblen(encoding, s + clipped);

		if (clipped + n > limit)
			break;
		clipped += n;
	}
	return clipped;
}

/* Return a fixed time, 2023-11-14 22:13:20 UTC. */
TimestampTz
GetCurrentTimestamp(void)
{
	return ((TimestampTz) 1700000000 - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY) * USECS_PER_SEC;
}
