/*
 * replay.c
 *		Instead of libFuzzer: runs a target with the files and folders that are
 *		named, or with the standard input.
 */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static int	n_inputs;

static void
run_stream(FILE *file)
{
	static uint8_t data[65536];
	size_t		size = fread(data, 1, sizeof(data), file);

	LLVMFuzzerTestOneInput(data, size);
	n_inputs++;
}

static void
run_path(const char *path)
{
	struct stat st;
	struct dirent *entry;
	DIR		   *dir;
	FILE	   *file;

	if (stat(path, &st) != 0)
	{
		perror(path);
		exit(1);
	}
	if (S_ISDIR(st.st_mode))
	{
		dir = opendir(path);
		while (dir != NULL && (entry = readdir(dir)) != NULL)
		{
			char		name[4096];

			if (entry->d_name[0] == '.')
				continue;
			snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
			run_path(name);
		}
		if (dir != NULL)
			closedir(dir);
		return;
	}
	file = fopen(path, "rb");
	if (file == NULL)
	{
		perror(path);
		exit(1);
	}
	run_stream(file);
	fclose(file);
}

int
main(int argc, char **argv)
{
	int			i;

	for (i = 1; i < argc; i++)
		run_path(argv[i]);
	if (argc == 1)
		run_stream(stdin);
	printf("%d passed, 0 failed\n", n_inputs);	/* else it has aborted */
	return n_inputs == 0;
}
