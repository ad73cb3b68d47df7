// Package pagila is the small database that the demo and the lake work with, in the shape of the sample
// database Pagila, and the nine statements that they run on it.
//
// Guarantees:
//
//  1. The rows are the same each time, but for last_update, which is the time of filling.
//  2. Each statement foretells its records, in order.
//  3. What Rows returns is compared with what records hold: JSON text, column by column.
//
// Ownership: connections are the caller's, and are used one call at a time.
package pagila
