/* SPDX-License-Identifier: Apache-2.0 */
#include <fsmoe/error.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char sentence[512];

int fsmoe_fail(int err, const char *format, ...)
{
	/* Arguments may point into the old sentence ("...: %s", fsmoe_last_error()). */
	char fresh[sizeof(sentence)];
	va_list args;

	va_start(args, format);
	vsnprintf(fresh, sizeof(fresh), format, args);
	va_end(args);
	memcpy(sentence, fresh, sizeof(fresh));
	return -err;
}

const char *fsmoe_last_error(void)
{
	return sentence;
}

static const struct
{
	int err;
	const char *text;
} texts[] = {
	{0, "success"},
	{EINVAL, "invalid argument"},
	{ENOENT, "not found"},
	{ENOMEM, "out of memory"},
	{ENODEV, "no suitable worker"},
	{EBUSY, "already in use"},
	{EIO, "input or output failed"},
	{EPROTO, "wrong format or version"},
	{ENODATA, "no data"},
	{EDOM, "value out of range"},
	{ETIMEDOUT, "timed out"},
	{ECONNABORTED, "another rank failed"},
};

const char *fsmoe_strerror(int err)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].err == -err)
			return texts[i].text;
	return "unknown error";
}
