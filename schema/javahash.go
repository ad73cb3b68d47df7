package schema

import (
	"cmp"
	"unicode/utf8"
)

// Where Debezium goes over a Java HashMap, the order of its records and values is that of the table's
// buckets, which strings of any one set always have.

// JavaBuckets returns the number of buckets that a java.util.HashMap has grown to when it holds so many
// entries: 16, doubled whenever more than three quarters are taken.
func JavaBuckets(entries int) uint32 {
	buckets := 16
	for entries > buckets/4*3 {
		buckets *= 2
	}
	return uint32(buckets)
}

// JavaHash returns the hash by which a java.util.HashMap chooses a string's bucket: its lowest bits.
func JavaHash(text []byte) uint32 {
	var h uint32
	for i := 0; i < len(text); {
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(text[i:])
		}
		i += size
		if r > 0xffff { // Java's strings are of UTF-16
			r -= 0x10000
			h = 31*h + 0xd800 + uint32(r>>10)
			r = 0xdc00 + r&0x3ff
		}
		h = 31*h + uint32(r)
	}
	return h ^ h>>16
}

// byBucket orders hstore pairs by bucket; within one it keeps the order in which they came, as a sort that is
// stable does.
func byBucket(a, b hstorePair) int { return cmp.Compare(a.bucket, b.bucket) }
