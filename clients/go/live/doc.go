// Package live holds the tests that run against real servers: the conformance
// cases, cancelling, failing over, TLS. They start "kandinsky serve", found in
// PATH or named by KANDINSKY_COMMAND, with the demo checkpoint.
package live
