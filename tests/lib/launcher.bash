# SPDX-License-Identifier: Apache-2.0
# For tests in which a job dies on purpose, sourced.

# launcher_failed FILE [SECONDS LIMIT]: mpirun itself crashed, or never started its ranks, by the
# job's output, or had to be killed, by its time: beyond LIMIT it has been told to end its ranks and
# itself, and has not. Open MPI 4.1 with PMIx 4.2 does so now and then, when many jobs end or start
# at once: it follows a null pointer in PMIx_server_finalize, or waits there, or cannot make its
# session folder. Its exit status then says nothing of the job.
launcher_failed()
{
	grep -Eq '(^|[] /])mpirun\(\+0x|orte/util/session_dir\.c' "$1" ||
		[ "${2:-0}" -gt "${3:-0}" ]
}
