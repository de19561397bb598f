/*
 * coverage_dump.c
 *		A part of the library in builds for gcov only (tools/instrument.sh): lets
 *		catch_exit.c have the counts written.
 */
extern void __gcov_dump(void);
extern void defer_coverage_dump(void);

__attribute__((visibility("default"))) void
defer_coverage_dump(void)
{
	__gcov_dump();
}
