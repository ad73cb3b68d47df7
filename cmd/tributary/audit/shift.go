package audit

// polynomial is CRC-32C's, its lowest bit the highest power.
const polynomial = 0x82f63b78

// shifted returns what a CRC adds to that of a text of n bytes which stands behind what it was of: the CRC
// times x to the power of 8n, modulo the polynomial. So the CRC of a part is known from those of two
// beginnings.
func shifted(crc uint32, n int64) uint32 {
	if crc == 0 {
		return 0
	}
	square := uint32(1 << 23) // x^8: one byte
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			crc = product(crc, square)
		}
		square = product(square, square)
	}
	return crc
}

// product multiplies two polynomials whose highest bit is the power 0.
func product(a, b uint32) (sum uint32) {
	for bit := uint32(1 << 31); bit != 0; bit >>= 1 {
		if a&bit != 0 {
			sum ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ polynomial
		} else {
			b >>= 1
		}
	}
	return sum
}
