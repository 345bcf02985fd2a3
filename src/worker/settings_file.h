/*
 * settings_file.h
 *	  Small files that settings name: a token, authorities, a proxy's URL.
 */
#ifndef PCAPI_SETTINGS_FILE_H
#define PCAPI_SETTINGS_FILE_H

#include "pinterest_capi.h"

extern char *pcapi_read_file(const char *path, size_t most, size_t *len, char **problem);

#endif							/* PCAPI_SETTINGS_FILE_H */
