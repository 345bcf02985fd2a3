/*
 * cppcheck.h
 *	  What cppcheck needs to know of PostgreSQL's macros; with the server's own
 *	  headers it would take as long for each of our files as for those.
 */
#define PG_VERSION_NUM 150000
#define LIBCURL_VERSION_NUM 0x075800

#define LOG 15
#define WARNING 19
#define ERROR 21
#define FATAL 22

/* an error doesn't return */
#define ereport(level, ...) do { if ((level) >= ERROR) abort(); } while (0)
#define elog(level, ...) do { if ((level) >= ERROR) abort(); } while (0)
#define PG_TRY() if (1)
#define PG_CATCH() else
#define PG_FINALLY()
#define PG_END_TRY()

#define foreach(cell, list) for (cell = list_head(list); cell != NULL; cell = lnext(list, cell))
#define foreach_current_index(cell) 0
#define dlist_foreach(it, list) for (it.cur = dlist_start(list); it.cur != dlist_end(list); it.cur = dlist_after(it.cur))
#define dlist_foreach_modify(it, list) dlist_foreach(it, list)
#define dlist_container(type, member, pointer) ((type *) container(pointer))

#define PG_FUNCTION_INFO_V1(name)
#define PG_MODULE_MAGIC
#define PGDLLEXPORT
#define PG_RETURN_NULL() return 0
#define PG_RETURN_VOID() return 0
