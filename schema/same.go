package schema

import "bytes"

// Same says that two rows have the same values in all columns that the codec writes. A value that was not
// sent is like one that was not sent, and like nothing else.
func (c *Codec) Same(a, b Row) bool {
	for i := range c.row {
		x, y := a[c.row[i].index], b[c.row[i].index]
		if x.Kind != y.Kind || !bytes.Equal(x.Text, y.Text) {
			return false
		}
	}
	return true
}
