// Package page serves the page on which a person sees how a pipeline is: one page, which works without
// script, and which a script keeps fresh over server-sent events.
//
// # Guarantees
//
//  1. The page shows what View says at the moment of the request, whole, without any script: the charts alone
//     need one.
//  2. What a script shows as live is at most a second old. When the connection is lost the live dot turns
//     grey and says of when the numbers are: an old number is never shown as a present one.
//  3. Nothing comes from elsewhere, and nothing in the page is executed that is not a file of this package:
//     the Content-Security-Policy allows neither inline scripts nor inline styles.
//  4. All text from outside - names of tables, errors - is escaped.
//  5. A reader that does not read costs nothing: it is cut off after a few seconds, and no more than
//     maxReaders are served at a time.
//  6. The memory for the past is bounded: an hour of samples, about 70 KiB.
//
// # Ownership
//
// View and Counters are called from any goroutine at any time, also after the pipeline that they tell about
// has ended. Run belongs to one goroutine and ends with its context, and ends all streams of events with it.
//
// # Where things are
//
// assets holds the style, the script, and uPlot 1.6.32 (MIT licence, its banner stands in the file), which
// draws the charts. templates holds the page and its sections: the server renders a section, and the script
// only puts it where the old one was, so that there is one rendering. The pages /config and /errors beside it
// show the configuration with its origins and the catalogue with what came of it; they have no script.
package page
