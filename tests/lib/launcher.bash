# SPDX-License-Identifier: Apache-2.0
# For tests in which a job dies on purpose, sourced.

# launcher_failed FILE: a job's output says that mpirun itself crashed, or never started its ranks.
# Open MPI 4.1 with PMIx 4.2 does now and then, when many jobs end or start at once: it follows a null
# pointer in PMIx_server_finalize, or cannot make its session folder. Its exit status then says
# nothing of the job.
launcher_failed()
{
	grep -Eq '(^|[] /])mpirun\(\+0x|orte/util/session_dir\.c' "$1"
}
