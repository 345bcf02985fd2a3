/*
 * settings_file.c
 *	  Read small files that settings name: a token, authorities, a proxy's URL.
 *
 * They are read for each request, so that a new content takes effect when it is
 * written.  They are read in the worker's loop, so nothing here may wait: on a
 * pipe every destination would wait for its writer.
 */
#include "pinterest_capi.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/fd.h"
#include "worker/settings_file.h"

#define FIRST_ROOM		8192	/* bytes; larger than tokens and proxies' URLs */

/* Read from fd until its end, or until it has given more than most bytes. */
static char *
read_all(int fd, size_t room, size_t most, size_t *len, char **problem)
{
	char	   *data = palloc(room + 1);

	*len = 0;
	for (;;)
	{
		ssize_t		got = read(fd, data + *len, room - *len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			*problem = pstrdup(strerror(errno));
		if (got <= 0)
			break;
		*len += got;
		if (*len > most)
		{
			*problem = pstrdup("it is too long");
			break;
		}
		if (*len == room)
		{
			/* the file has grown since; no copy of a secret may stay in memory */
			char	   *larger = palloc(2 * room + 1);

			memcpy(larger, data, *len);
			explicit_bzero(data, *len);
			pfree(data);
			data = larger;
			room *= 2;
		}
	}
	data[*len] = '\0';
	return data;
}

/*
 * Return the contents of a regular file, with a NUL after its *len bytes.  If it
 * can't be read, return NULL and *problem, which does not quote the path.
 */
char *
pcapi_read_file(const char *path, size_t most, size_t *len, char **problem)
{
	int			fd;
	struct stat st;
	char	   *data = NULL;

	*problem = NULL;
	fd = OpenTransientFile(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) != 0)
		*problem = pstrdup(strerror(errno));
	else if (!S_ISREG(st.st_mode))
		*problem = pstrdup("it is no regular file");
	else
		data = read_all(fd, Min(Max((size_t) st.st_size, FIRST_ROOM), most) + 1, most, len, problem);
	if (fd >= 0)
		CloseTransientFile(fd);
	if (*problem != NULL && data != NULL)
	{
		explicit_bzero(data, *len);
		pfree(data);
		data = NULL;
	}
	return data;
}
