/** The size of a picture in pixels, and its title for readers who do not see it. */
export interface SvgFrame {
  readonly width: number;
  readonly height: number;
  readonly title: string;
}

/** Returns a picture with a white background. */
export function svgDocument({ width, height, title }: SvgFrame, parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="12">
<title>${escaped(title)}</title>
<rect width="100%" height="100%" fill="#fff"/>
${parts.join('\n')}
</svg>
`;
}

/** Returns a text for the content or the attribute of an element. */
export function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
