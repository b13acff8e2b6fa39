/**
 * A font of 5 by 9 pixels for labels in PNGs: each glyph is nine rows from the top, the last two below
 * the base line; a row is one digit of base 32, its high bit the leftmost pixel.
 *
 * ```
 * 'e' = 14 = 01110    .###.
 * 'h' = 17 = 10001    #...#   and so on: "ehhvhhh00" is an A
 * ```
 */
export const GLYPH_WIDTH = 5
export const GLYPH_HEIGHT = 9

const UNKNOWN = 'eh1240400'
const ROWS: Readonly<Record<string, string>> = {
  ' ': '000000000',
  '.': '00000cc00',
  ',': '00000c480',
  ':': '0cc0cc000',
  '-': '000v00000',
  '+': '044v44000',
  '/': '01248g000',
  '(': '248884200',
  ')': '842224800',
  '%': 'op248j300',
  _: '000000v00',
  '=': '00v0v0000',
  '0': 'ehjlphe00',
  '1': '4c4444e00',
  '2': 'eh1248v00',
  '3': 'v2421he00',
  '4': '26aiv2200',
  '5': 'vgu11he00',
  '6': '68guhhe00',
  '7': 'v12488800',
  '8': 'ehhehhe00',
  '9': 'ehhf12c00',
  A: 'ehhvhhh00',
  B: 'uhhuhhu00',
  C: 'ehggghe00',
  D: 'uhhhhhu00',
  E: 'vgguggv00',
  F: 'vgguggg00',
  G: 'ehgnhhf00',
  H: 'hhhvhhh00',
  I: 'e44444e00',
  J: '72222ic00',
  K: 'hikokih00',
  L: 'ggggggv00',
  M: 'hrllhhh00',
  N: 'hhpljhh00',
  O: 'ehhhhhe00',
  P: 'uhhuggg00',
  Q: 'ehhhlid00',
  R: 'uhhukih00',
  S: 'fgge11u00',
  T: 'v44444400',
  U: 'hhhhhhe00',
  V: 'hhhhha400',
  W: 'hhhllla00',
  X: 'hha4ahh00',
  Y: 'hhha44400',
  Z: 'v1248gv00',
  a: '00e1fhf00',
  b: 'ggmphhu00',
  c: '00egghe00',
  d: '11djhhf00',
  e: '00ehvge00',
  f: '698s88800',
  g: '00fhhhf1e',
  h: 'ggmphhh00',
  i: '40c444e00',
  j: '2062222ic',
  k: 'ggikoki00',
  l: 'c44444e00',
  m: '00qllhh00',
  n: '00mphhh00',
  o: '00ehhhe00',
  p: '00uhhhugg',
  q: '00djhhf11',
  r: '00mpggg00',
  s: '00ege1u00',
  t: '88s889600',
  u: '00hhhjd00',
  v: '00hhha400',
  w: '00hhlla00',
  x: '00ha4ah00',
  y: '00hhhhf1e',
  z: '00v248v00',
}

/** Is pixel (x, y) of the glyph of `character` set? What the font lacks looks like a question mark. */
export function glyphPixel(character: string, x: number, y: number): boolean {
  const row = Number.parseInt((ROWS[character] ?? UNKNOWN)[y]!, 32)
  return (row & (1 << (GLYPH_WIDTH - 1 - x))) !== 0
}
