/** Pictures of what a disk does: access logs and the article's artificial payloads, as PNG and SVG. */
export { type AccessSummary, accessFigure } from './access-figure.ts'
export {
  ARTICLE,
  articleFigure,
  simulateAllocator,
  simulateSparseFile,
} from './article-figure.ts'
export { drawPng } from './draw-png.ts'
export { drawSvg } from './draw-svg.ts'
export {
  type AxisSpec,
  type Figure,
  layOut,
  type Panel,
  type PanelSpec,
  READS,
  type Series,
  WRITES,
} from './figure.ts'
export { type Colour, encodePng, type IndexedImage } from './png.ts'
export { PointRaster } from './raster.ts'
export { type Axis, axisFor, type Quantity } from './scale.ts'
