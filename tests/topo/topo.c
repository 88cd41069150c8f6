/* SPDX-License-Identifier: Apache-2.0 */
/* Machines as they are described, in words and in files. */
#include "machine.h"

#include <unistd.h>

static void descriptions_are_read(void **state)
{
	static const struct
	{
		const char *text;
		int cut, ranks, nodes;
	} cases[] = {
		{"node:6 gpu:8", 0, 48, 6},
		{"gpu:8 node:6", 0, 48, 6},
		{" node:2\tcpu:3\n", 0, 6, 2},
		{"device:4", 0, 4, 1},
		{"node:4", 0, 4, 4},
		{"node:1 gpu:8", 4, 8, 4},
		{"node:6 gpu:8", 48, 48, 48},
		{"node:6 gpu:8", 1, 48, 1},
		{"node:1024 gpu:1024", 0, 1 << 20, 1024},
		{"node:2 # of the old kind\ngpu:4", 0, 8, 2},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		fsmoe_topo_t topo = machine(cases[i].text, cases[i].cut);
		assert_int_equal(fsmoe_topo_ranks(topo), cases[i].ranks);
		assert_int_equal(fsmoe_topo_nodes(topo), cases[i].nodes);
		assert_int_equal(fsmoe_topo_rank(topo), 0);
		assert_int_equal(fsmoe_topo_is_job(topo), 0);
		fsmoe_topo_destroy(topo);
	}
}

static void wrong_descriptions_are_refused(void **state)
{
	static const struct
	{
		const char *text;
		int cut;
		const char *says; /* part of the sentence */
	} cases[] = {
		{"nod:6 gpu:8", 0, "column 1: \"nod:6\" is not known; did you mean \"node\"?"},
		{"node:6 gup:8", 0, "column 8: \"gup:8\" is not known; did you mean \"gpu\"?"},
		{"node:6 devices:8", 0, "did you mean \"device\"?"},
		{"node:6 elephants:8", 0, "\"elephants:8\" is not known. A machine is written as"},
		{"node:6 gpu", 0, "\"gpu\" needs a number"},
		{"node:0 gpu:8", 0, "column 1: \"node:0\" needs a number"},
		{"node:-1 gpu:8", 0, "needs a number"},
		{"node:6x gpu:8", 0, "needs a number"},
		{"node: 6", 0, "\"node:\" needs a number"},
		{"node:99999999999999999999", 0, "needs a number"},
		{":", 0, "is not known"},
		{"node:2 gpu:2 node:2", 0,
		 "column 14: \"node:2\" says a second time how many nodes"},
		{"gpu:2 cpu:2", 0, "says a second time how many devices"},
		{"node:2000 gpu:2000", 0, "are more than"},
		{"", 0, "is empty"},
		{"  # nothing", 0, "is empty"},
		{"node:2 gpu:3", 4, "6 ranks cannot be cut into 4 equal nodes"},
		{"node:2 gpu:3", 7, "6 ranks cannot be cut into 7 equal nodes"},
		{"node:2 gpu:3", -1, "cannot be negative"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		fsmoe_topo_t topo = (fsmoe_topo_t)&cases;
		assert_int_equal(fsmoe_topo_create(&topo, cases[i].text, cases[i].cut), -EINVAL);
		assert_ptr_equal(topo, (fsmoe_topo_t)&cases);
		if (!strstr(fsmoe_last_error(), cases[i].says))
			fail_msg("\"%s\": says \"%s\", not \"%s\"", cases[i].text,
				 fsmoe_last_error(), cases[i].says);
	}
}

/* A file with that text; its "file:PATH". */
static void write_file(char *description, size_t size, const char *text, size_t n)
{
	char path[] = "/tmp/fsmoe-topo-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	close(fd);
	snprintf(description, size, "file:%s", path);
}

static void files_are_read(void **state)
{
	char description[64], *big = calloc(1, 70000);
	fsmoe_topo_t topo;
	static const char good[] = "# our cluster\n\nnode:6   # racks 1 and 2\ngpu:8\n";
	static const char bad[] = "# our cluster\nnode:6\n  gpi:8\n";

	(void)state;
	write_file(description, sizeof(description), good, strlen(good));
	topo = machine(description, 0);
	assert_int_equal(fsmoe_topo_ranks(topo), 48);
	fsmoe_topo_destroy(topo);
	unlink(description + 5);

	write_file(description, sizeof(description), bad, strlen(bad));
	assert_int_equal(fsmoe_topo_create(&topo, description, 0), -EINVAL);
	assert_non_null(strstr(fsmoe_last_error(), "line 3, column 3: \"gpi:8\""));
	assert_non_null(strstr(fsmoe_last_error(), description + 5));
	unlink(description + 5);

	write_file(description, sizeof(description), "node:2\0gpu:2", 12);
	assert_int_equal(fsmoe_topo_create(&topo, description, 0), -EINVAL);
	unlink(description + 5);
	memset(big, ' ', 70000);
	write_file(description, sizeof(description), big, 70000);
	assert_int_equal(fsmoe_topo_create(&topo, description, 0), -EINVAL);
	unlink(description + 5);
	free(big);

	assert_int_equal(fsmoe_topo_create(&topo, "file:/nowhere/at/all", 0), -ENOENT);
	assert_non_null(strstr(fsmoe_last_error(), "/nowhere/at/all"));
	assert_int_equal(fsmoe_topo_create(&topo, "file:/tmp", 0), -EIO);
}

/* This test is not started by mpirun: one rank, no MPI. */
static void alone_there_is_one_rank(void **state)
{
	fsmoe_topo_t topo = machine(NULL, 0), other;
	fsmoe_groups_t groups;

	(void)state;
	assert_int_equal(fsmoe_topo_ranks(topo), 1);
	assert_int_equal(fsmoe_topo_nodes(topo), 1);
	assert_int_equal(fsmoe_topo_is_job(topo), 1);
	assert_null(topo->mpi);
	assert_int_equal(fsmoe_topo_host_size(topo), 1);
	assert_int_equal(fsmoe_topo_host_rank(topo), 0);
	assert_int_equal(fsmoe_groups_create(&groups, topo, NULL), 0);
	for (int kind = 0; kind < FSMOE_NGROUPS; kind++)
		assert_int_equal(fsmoe_group_size(groups, (enum fsmoe_group)kind), 1);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	assert_int_equal(fsmoe_topo_create(&other, NULL, 2), -EINVAL);
	fsmoe_topo_destroy(NULL);
	fsmoe_groups_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptions_are_read),
		cmocka_unit_test(wrong_descriptions_are_refused),
		cmocka_unit_test(files_are_read),
		cmocka_unit_test(alone_there_is_one_rank),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
