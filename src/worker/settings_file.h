/*
 * settings_file.h
 *	  Read small files that settings name: a token, authorities, a proxy's URL.
 */
#ifndef PCAPI_SETTINGS_FILE_H
#define PCAPI_SETTINGS_FILE_H

#include "pinterest_capi.h"

/* Return the contents of a regular file, palloc'd; NULL and *problem, which does not quote the path. */
extern char *pcapi_read_file(const char *path, size_t most, size_t *len, char **problem);

#endif							/* PCAPI_SETTINGS_FILE_H */
