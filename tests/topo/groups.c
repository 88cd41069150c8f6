/* SPDX-License-Identifier: Apache-2.0 */
/* Which ranks work together: every layout of every small machine. */
#include "machine.h"

/* Members of `rank`'s group written as "0 8 16". */
static const char *members(fsmoe_groups_t groups, enum fsmoe_group kind, int rank)
{
	static char text[1024];
	int ranks[256], n = 256, used = 0;

	assert_int_equal(fsmoe_groups_members(groups, kind, rank, ranks, &n), 0);
	for (int i = 0; i < n; i++)
		used += snprintf(text + used, sizeof(text) - (size_t)used, "%s%d", i ? " " : "",
				 ranks[i]);
	return text;
}

struct example
{
	const char *machine;
	struct fsmoe_layout layout;
	const char *group[FSMOE_NGROUPS]; /* of layout.rank; NULL: not looked at */
	int spans[FSMOE_NGROUPS];
};

/* Worked by hand. */
static const struct example examples[] = {
	{"node:6 gpu:8",
	 {.rank = 19},
	 {NULL, "3 11 19 27 35 43", "16 17 18 19 20 21 22 23", "3 11 19 27 35 43",
	  "16 17 18 19 20 21 22 23", "19"},
	 {1, 1, 0, 1, 0, 0}},
	{"node:8 gpu:4",
	 {.rank = 5},
	 {NULL, "1 5 9 13 17 21 25 29", "4 5 6 7", "1 5 9 13 17 21 25 29", "4 5 6 7", "5"},
	 {1, 1, 0, 1, 0, 0}},
	{"node:2 gpu:2",
	 {.rank = 3},
	 {"0 1 2 3", "1 3", "2 3", "1 3", "2 3", "3"},
	 {1, 1, 0, 1, 0, 0}},
	{"node:1 gpu:4",
	 {.rank = 2},
	 {"0 1 2 3", "2", "0 1 2 3", "2", "0 1 2 3", "2"},
	 {0, 0, 0, 0, 0, 0}},
	{"node:4 gpu:1",
	 {.rank = 2},
	 {"0 1 2 3", "0 1 2 3", "2", "0 1 2 3", "2", "2"},
	 {1, 1, 0, 1, 0, 0}},
	/* ep != dp: experts over pairs, two copies of every expert. */
	{"node:2 gpu:4",
	 {.dp = 4, .tp = 2, .ep = 4, .esp = 1, .rank = 6},
	 {NULL, "0 2 4 6", "6 7", "4 5 6 7", "6", "2 6"},
	 {1, 1, 0, 0, 0, 1}},
	{"node:2 gpu:4",
	 {.dp = 8, .tp = 1, .ep = 2, .esp = 2, .rank = 5},
	 {NULL, "0 1 2 3 4 5 6 7", "5", "5 7", "4 5", "1 5"},
	 {1, 1, 0, 0, 0, 1}},
	/* One group of experts over everything; shards across nodes. */
	{"node:2 gpu:2",
	 {.ep = 4, .rank = 1},
	 {NULL, "1 3", "0 1", "0 1 2 3", "1", "1", "0 1", "1 3"},
	 {1, 1, 0, 1, 0, 0, 0, 1}},
	{"node:2 gpu:2",
	 {.tp = 4, .esp = 4, .rank = 1},
	 {NULL, "1", "0 1 2 3", "1", "0 1 2 3", "1"},
	 {1, 0, 1, 0, 1, 0}},
	/* Half a degree given: the other follows. */
	{"node:2 gpu:4",
	 {.tp = 2, .rank = 0},
	 {NULL, "0 2 4 6", "0 1", "0 4", "0 1 2 3", "0"},
	 {1, 1, 0, 1, 0, 0}},
	{"node:1 gpu:4", {.ep = 2, .rank = 1}, {NULL, "1", NULL, "1 3", "0 1", "1", "1", "1"}, {0}},
	/* Experts over nodes and places, beside shards and copies. */
	{"node:4 gpu:4",
	 {.tp = 1, .ep = 4, .esp = 2, .rank = 11},
	 {NULL, NULL, "11", "9 11 13 15", "10 11", "3 11", "9 11", "11 15"},
	 {1, 1, 0, 1, 0, 1, 0, 1}},
	/* Groups of 3 on nodes of 2: no rectangle. */
	{"node:3 gpu:2",
	 {.tp = 1, .ep = 3, .esp = 1, .rank = 4},
	 {NULL, NULL, "4", "3 4 5", "4", "1 4", "4", "4"},
	 {1, 1, 0, 1, 0, 1, 0, 0}},
};

static void groups_are_as_worked_by_hand(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
	{
		const struct example *example = &examples[i];
		fsmoe_topo_t topo = machine(example->machine, 0);
		fsmoe_groups_t groups;

		assert_int_equal(fsmoe_groups_create(&groups, topo, &example->layout), 0);
		assert_ptr_equal(fsmoe_groups_topo(groups), topo);
		for (int k = 0; k < FSMOE_NGROUPS; k++)
		{
			enum fsmoe_group kind = (enum fsmoe_group)k;
			const char *got = members(groups, kind, example->layout.rank);
			if (example->group[k] && strcmp(got, example->group[k]))
				fail_msg("example %zu, group %s: %s, not %s", i,
					 fsmoe_group_name(kind), got, example->group[k]);
			if (fsmoe_group_spans_nodes(groups, kind) != example->spans[k])
				fail_msg("example %zu, group %s: spans nodes: not %d", i,
					 fsmoe_group_name(kind), example->spans[k]);
		}
		fsmoe_groups_destroy(groups);
		fsmoe_topo_destroy(topo);
	}
}

static void what_does_not_tile_is_refused(void **state)
{
	static const struct fsmoe_layout wrong[] = {
		{.dp = 3},
		{.tp = 5},
		{.dp = 2, .tp = 2},
		{.ep = 3},
		{.esp = 3},
		{.ep = 8, .esp = 2},
		{.ep = 16},
		{.dp = -1},
		{.ep = -2},
		{.rank = 8},
		{.rank = -1},
		{.dp = 2000000000, .tp = 2000000000},
		{.ep = 65536, .esp = 65536},
	};
	fsmoe_topo_t topo = machine("node:2 gpu:4", 0);
	int rank, n = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		fsmoe_groups_t groups = NULL;
		if (fsmoe_groups_create(&groups, topo, &wrong[i]) != -EINVAL || groups)
			fail_msg("layout %zu is taken", i);
	}
	assert_int_equal(fsmoe_groups_members(NULL, FSMOE_GROUP_EP, 1, &rank, &n), -EINVAL);
	assert_int_equal(fsmoe_groups_members(NULL, FSMOE_NGROUPS, 0, &rank, &n), -EINVAL);
	fsmoe_topo_destroy(topo);
}

static void without_groups_there_is_one_rank(void **state)
{
	(void)state;
	for (int k = 0; k < FSMOE_NGROUPS; k++)
	{
		enum fsmoe_group kind = (enum fsmoe_group)k;
		int rank = -1, n = 1;
		assert_int_equal(fsmoe_group_size(NULL, kind), 1);
		assert_int_equal(fsmoe_group_rank(NULL, kind), 0);
		assert_int_equal(fsmoe_group_spans_nodes(NULL, kind), 0);
		assert_int_equal(fsmoe_groups_members(NULL, kind, 0, &rank, &n), 0);
		assert_int_equal(rank, 0);
		assert_int_equal(n, 1);
	}
	assert_null(fsmoe_groups_topo(NULL));
	assert_string_equal(fsmoe_group_name(FSMOE_GROUP_EDP), "edp");
	assert_string_equal(fsmoe_group_name(FSMOE_NGROUPS), "?");
}

/* EP as nodes x places, where it is, numbered with the places fastest. */
static void check_stages(fsmoe_groups_t groups, const int *spans)
{
	int places = fsmoe_group_size(groups, FSMOE_GROUP_EP_NODE);
	int nodes = fsmoe_group_size(groups, FSMOE_GROUP_EP_RAIL);

	if (places == 1)
	{
		assert_int_equal(nodes, 1);
		return;
	}
	assert_int_equal(places * nodes, fsmoe_group_size(groups, FSMOE_GROUP_EP));
	assert_int_equal(fsmoe_group_rank(groups, FSMOE_GROUP_EP_RAIL) * places +
				 fsmoe_group_rank(groups, FSMOE_GROUP_EP_NODE),
			 fsmoe_group_rank(groups, FSMOE_GROUP_EP));
	assert_int_equal(spans[FSMOE_GROUP_EP_NODE], 0);
	assert_true(nodes > 1 && spans[FSMOE_GROUP_EP_RAIL]);
}

/* Laws that hold for the groups of every tiling, seen from every rank. */
static void check_laws(fsmoe_topo_t topo, struct fsmoe_layout layout)
{
	int ranks = fsmoe_topo_ranks(topo), devices = ranks / fsmoe_topo_nodes(topo);
	int spans[FSMOE_NGROUPS] = {0};

	for (layout.rank = 0; layout.rank < ranks; layout.rank++)
	{
		fsmoe_groups_t groups;
		assert_int_equal(fsmoe_groups_create(&groups, topo, &layout), 0);
		for (int k = 0; k < FSMOE_NGROUPS; k++)
		{
			enum fsmoe_group kind = (enum fsmoe_group)k;
			int mine[64], n = 64, few[1] = {-1}, one = 1;

			assert_int_equal(fsmoe_groups_members(groups, kind, layout.rank, mine, &n),
					 0);
			assert_int_equal(fsmoe_groups_members(groups, kind, layout.rank, few, &one),
					 0);
			assert_int_equal(one, n);
			assert_int_equal(few[0], mine[0]);
			assert_int_equal(n, fsmoe_group_size(groups, kind));
			assert_int_equal(mine[fsmoe_group_rank(groups, kind)], layout.rank);
			/* Every member has the same group: so each kind partitions the ranks. */
			for (int i = 0; i < n; i++)
			{
				int theirs[64], m = 64;
				assert_true(mine[i] >= 0 && mine[i] < ranks);
				assert_true(i == 0 || mine[i] > mine[i - 1]);
				assert_int_equal(
					fsmoe_groups_members(groups, kind, mine[i], theirs, &m), 0);
				assert_int_equal(m, n);
				assert_memory_equal(mine, theirs, (size_t)n * sizeof(*mine));
				spans[k] |= mine[i] / devices != mine[0] / devices;
			}
		}
		/* rank = dp * TP + tp = (edp * EP + ep) * ESP + esp */
		int dp = fsmoe_group_rank(groups, FSMOE_GROUP_DP);
		int mp = fsmoe_group_rank(groups, FSMOE_GROUP_TP);
		int ep = fsmoe_group_rank(groups, FSMOE_GROUP_EP);
		int esp = fsmoe_group_rank(groups, FSMOE_GROUP_ESP);
		int edp = fsmoe_group_rank(groups, FSMOE_GROUP_EDP);
		assert_int_equal(dp * layout.tp + mp, layout.rank);
		assert_int_equal((edp * layout.ep + ep) * layout.esp + esp, layout.rank);
		check_stages(groups, spans);
		if (layout.rank == ranks - 1)
			for (int k = 0; k < FSMOE_NGROUPS; k++)
				assert_int_equal(
					fsmoe_group_spans_nodes(groups, (enum fsmoe_group)k),
					spans[k]);
		fsmoe_groups_destroy(groups);
	}
}

static void every_tiling_obeys_the_laws(void **state)
{
	int tilings = 0;

	(void)state;
	for (int nodes = 1; nodes <= 6; nodes++)
		for (int devices = 1; devices <= 4; devices++)
		{
			char text[32];
			int ranks = nodes * devices;
			snprintf(text, sizeof(text), "node:%d gpu:%d", nodes, devices);
			fsmoe_topo_t topo = machine(text, 0);
			for (int mp = 1; mp <= ranks; mp++)
				for (int ep = 1; ep <= ranks && ranks % mp == 0; ep++)
					for (int esp = 1; ep * esp <= ranks; esp++)
					{
						struct fsmoe_layout layout = {ranks / mp, mp, ep,
									      esp, 0};
						if (ranks % (ep * esp))
							continue;
						check_laws(topo, layout);
						tilings++;
					}
			fsmoe_topo_destroy(topo);
		}
	assert_true(tilings > 900);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(groups_are_as_worked_by_hand),
		cmocka_unit_test(what_does_not_tile_is_refused),
		cmocka_unit_test(without_groups_there_is_one_rank),
		cmocka_unit_test(every_tiling_obeys_the_laws),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
