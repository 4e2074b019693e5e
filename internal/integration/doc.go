// Package integration runs the suites and the backends of genaistore on servers that
// nobody here wrote. Its tests are its content; package servers does the rest.
package integration
